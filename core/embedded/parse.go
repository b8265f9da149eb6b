package embedded

import (
	"strconv"
	"strings"
	"time"
)

// parser walks the tokens of one statement. A syntax error is panicked as a
// *fault and caught in session.exec.
type parser struct {
	sql     string
	toks    []token
	at      int
	version version // of the server: which types there are
	now     func() time.Time
}

func (p *parser) peek() token { return p.toks[p.at] }

func (p *parser) next() token {
	t := p.toks[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

func (p *parser) fail() {
	panic(syntaxError(p.sql[p.peek().pos:]))
}

// is reports whether the next tokens are these keywords or operators.
func (p *parser) is(words ...string) bool {
	for i, w := range words {
		if p.at+i >= len(p.toks) {
			return false
		}
		t := p.toks[p.at+i]
		if t.kind != tokenIdent && t.kind != tokenOp || !strings.EqualFold(t.text, w) {
			return false
		}
	}
	return true
}

// accept takes these words if they come next.
func (p *parser) accept(words ...string) bool {
	if !p.is(words...) {
		return false
	}
	p.at += len(words)
	return true
}

func (p *parser) expect(words ...string) {
	if !p.accept(words...) {
		p.fail()
	}
}

// end verifies that the statement is over.
func (p *parser) end() {
	p.accept(";")
	if p.peek().kind != tokenEnd {
		p.fail()
	}
}

// ident takes a name: lower case unless it stands in backticks.
func (p *parser) ident() string {
	switch t := p.next(); t.kind {
	case tokenIdent:
		return strings.ToLower(t.text)
	case tokenQuoted:
		return t.text
	default:
		p.at--
		p.fail()
		return ""
	}
}

// qualified takes a name that may have a database before it.
func (p *parser) qualified() (db, name string) {
	name = p.ident()
	if p.accept(".") {
		return name, p.ident()
	}
	return "", name
}

func (p *parser) str() string {
	t := p.next()
	if t.kind != tokenString {
		p.at--
		p.fail()
	}
	return t.text
}

func (p *parser) integer() int64 {
	sign := int64(1)
	if p.accept("-") {
		sign = -1
	}
	n, err := strconv.ParseInt(p.peek().text, 10, 64)
	if p.peek().kind != tokenNumber || err != nil {
		p.fail()
	}
	p.at++
	return sign * n
}

func (p *parser) ifExists() bool    { return p.accept("if", "exists") }
func (p *parser) ifNotExists() bool { return p.accept("if", "not", "exists") }

// list takes items with commas between them in parentheses.
func (p *parser) list(item func()) {
	p.expect("(")
	for {
		item()
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
}

// columnDefs takes the definitions of columns or tags. Options of columns
// (comment, compression) are passed over.
func (p *parser) columnDefs() []column {
	var cols []column
	p.list(func() {
		name := p.ident()
		c := p.columnType(name)
		if p.isKeyMark() {
			p.next()
			p.expect("key")
			c.flags = flagKey
		} else if p.is("composite") {
			p.fail()
		}
		cols = append(cols, c)
		for p.peek().kind == tokenIdent || p.peek().kind == tokenString {
			p.next()
		}
	})
	return cols
}

// columnType takes a type as a statement writes it.
func (p *parser) columnType(name string) column {
	start := p.at
	word := p.ident()
	if p.accept("unsigned") {
		word += " unsigned"
	}
	t, ok := typeByName(word)
	if !ok || t.decimal() && !p.version.decimals() || t == typeBlob && !p.version.blobs() {
		p.at = start
		p.fail()
	}
	var args []int64
	if p.is("(") {
		p.list(func() { args = append(args, p.integer()) })
	}
	if t.decimal() {
		return p.decimalColumn(name, args)
	}
	n := 0
	if t.variable() && t != typeJSON && t != typeBlob {
		if len(args) != 1 || args[0] <= 0 || args[0] > 65517 {
			p.fail()
		}
		n = int(args[0])
	}
	return newColumn(name, t, n)
}

func (p *parser) decimalColumn(name string, args []int64) column {
	if len(args) == 0 || len(args) > 2 || args[0] < 1 || args[0] > 38 {
		p.fail()
	}
	t := typeDecimal64
	if args[0] > 18 {
		t = typeDecimal
	}
	c := newColumn(name, t, 0)
	c.prec = uint8(args[0])
	if len(args) == 2 {
		if args[1] < 0 || args[1] > args[0] {
			p.fail()
		}
		c.scale = uint8(args[1])
	}
	return c
}

var durationUnits = map[byte]time.Duration{
	'b': time.Nanosecond, 'u': time.Microsecond, 'a': time.Millisecond, 's': time.Second,
	'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
}

// parseDuration reads 10d or 500a; a bare number counts units of bare.
func parseDuration(text string, bare time.Duration) (time.Duration, bool) {
	if text == "" {
		return 0, false
	}
	unit, ok := durationUnits[text[len(text)-1]]
	digits := text[:len(text)-1]
	if !ok {
		unit, digits = bare, text
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || unit == 0 {
		return 0, false
	}
	return time.Duration(n) * unit, true
}
