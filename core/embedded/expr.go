package embedded

import (
	"hash/crc32"
	"strings"
	"time"
)

// expr is an expression: of a select list, a condition, or a value to insert.
type expr interface{}

type (
	exprLiteral struct{ value any }
	exprColumn  struct{ name string }
	exprCall    struct {
		name string
		args []expr
		star bool
		text string // as written, in lower case: the name of the result's column
	}
	exprUnary struct {
		op  string
		arg expr
	}
	exprBinary struct {
		op          string
		left, right expr
	}
	exprCast struct {
		arg  expr
		to   column
		text string
	}
	exprIn struct {
		arg  expr
		list []expr
	}
)

// expression parses with the usual precedence: or, and, not, comparison, sum.
func (p *parser) expression() expr {
	e := p.conjunction()
	for p.accept("or") {
		e = exprBinary{"or", e, p.conjunction()}
	}
	return e
}

func (p *parser) conjunction() expr {
	e := p.negation()
	for p.accept("and") {
		e = exprBinary{"and", e, p.negation()}
	}
	return e
}

func (p *parser) negation() expr {
	if p.accept("not") {
		return exprUnary{op: "not", arg: p.negation()}
	}
	return p.comparison()
}

func (p *parser) comparison() expr {
	e := p.sum()
	for _, op := range []string{"=", "<=", ">=", "<>", "!=", "<", ">"} {
		if p.accept(op) {
			return exprBinary{op, e, p.sum()}
		}
	}
	if p.accept("is", "not", "null") {
		return exprUnary{op: "is not null", arg: e}
	}
	if p.accept("is", "null") {
		return exprUnary{op: "is null", arg: e}
	}
	not := p.accept("not")
	switch {
	case p.accept("in"):
		in := exprIn{arg: e}
		p.list(func() { in.list = append(in.list, p.sum()) })
		e = in
	case p.accept("between"):
		low := p.sum()
		p.expect("and")
		e = exprBinary{"and", exprBinary{">=", e, low}, exprBinary{"<=", e, p.sum()}}
	case p.accept("like"):
		e = exprBinary{"like", e, p.sum()}
	case not:
		p.fail()
	}
	if not {
		return exprUnary{op: "not", arg: e}
	}
	return e
}

func (p *parser) sum() expr {
	e := p.product()
	for {
		switch {
		case p.accept("+"):
			e = exprBinary{"+", e, p.product()}
		case p.accept("-"):
			e = exprBinary{"-", e, p.product()}
		default:
			return e
		}
	}
}

func (p *parser) product() expr {
	e := p.primary()
	for {
		switch {
		case p.is("*") && !p.starEndsList():
			p.next()
			e = exprBinary{"*", e, p.primary()}
		case p.accept("/"):
			e = exprBinary{"/", e, p.primary()}
		case p.accept("%"):
			e = exprBinary{"%", e, p.primary()}
		default:
			return e
		}
	}
}

// starEndsList is for `*` as a column list rather than a product.
func (p *parser) starEndsList() bool {
	after := p.toks[p.at+1]
	return after.kind == tokenEnd || after.text == "," || after.text == ")" || strings.EqualFold(after.text, "from")
}

func (p *parser) primary() expr {
	start := p.peek()
	switch t := p.next(); {
	case t.kind == tokenString:
		return exprLiteral{t.text}
	case t.kind == tokenNumber:
		if d, ok := parseDuration(t.text, 0); ok {
			return exprLiteral{d}
		}
		return exprLiteral{number(t.text)}
	case t.kind == tokenOp && t.text == "(":
		e := p.expression()
		p.expect(")")
		return e
	case t.kind == tokenOp && t.text == "-":
		arg := p.primary()
		if lit, ok := arg.(exprLiteral); ok {
			if n, ok := lit.value.(number); ok {
				return exprLiteral{"-" + n}
			}
		}
		return exprUnary{op: "-", arg: arg}
	case t.kind == tokenOp && t.text == "+":
		return p.primary()
	case t.kind == tokenQuoted:
		p.at--
		return p.columnRef()
	case t.kind == tokenIdent:
		return p.word(start)
	}
	p.at--
	p.fail()
	return nil
}

func (p *parser) columnRef() expr {
	name := p.ident()
	for p.accept(".") {
		name = p.ident()
	}
	return exprColumn{name}
}

func (p *parser) word(start token) expr {
	switch strings.ToLower(start.text) {
	case "null":
		return exprLiteral{nil}
	case "true":
		return exprLiteral{true}
	case "false":
		return exprLiteral{false}
	case "now":
		p.accept("(", ")")
		return exprLiteral{p.now()}
	case "today":
		p.accept("(", ")")
		return exprLiteral{p.now().UTC().Truncate(24 * time.Hour)}
	}
	if !p.is("(") {
		p.at--
		return p.columnRef()
	}
	call := exprCall{name: strings.ToLower(start.text)}
	p.expect("(")
	if call.name == "cast" {
		c := exprCast{arg: p.expression()}
		p.expect("as")
		c.to = p.columnType("")
		p.expect(")")
		c.text = p.since(start)
		return c
	}
	if p.accept("*") {
		call.star = true
	}
	for !p.is(")") && !call.star {
		call.args = append(call.args, p.expression())
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
	call.text = p.since(start)
	return call
}

// since is the statement's text from a token through the one taken last, as it
// names a column of the result.
func (p *parser) since(start token) string {
	last := p.toks[p.at-1]
	return strings.ToLower(p.sql[start.pos : last.pos+len(last.text)])
}

// env gives the columns of the row that an expression is about.
type env func(name string) (any, error)

func noColumns(name string) (any, error) {
	return nil, failure(codeInvalidColumn, "Invalid column name: %s", name)
}

// eval computes an expression; nil is NULL.
func eval(e expr, row env) (any, error) {
	switch e := e.(type) {
	case exprLiteral:
		return e.value, nil
	case exprColumn:
		return row(e.name)
	case exprUnary:
		return evalUnary(e, row)
	case exprBinary:
		return evalBinary(e, row)
	case exprCast:
		v, err := eval(e.arg, row)
		if err != nil || v == nil {
			return nil, err
		}
		if s, ok := v.(stamp); ok && !e.to.typ.variable() {
			v = s.ticks
		}
		if b, ok := v.(bool); ok && e.to.typ != typeBool && !e.to.typ.variable() {
			v = int64(flag(b))
		}
		if u, ok := v.(uint64); ok && e.to.typ == typeBigint {
			return int64(u), nil // as many bits, and no error
		}
		cell, err := encodeCell(e.to, 0, v)
		return decodeCell(e.to, 0, cell), err
	case exprCall:
		return evalCall(e, row)
	case exprIn:
		v, err := eval(e.arg, row)
		for _, item := range e.list {
			if err != nil || v == nil {
				break
			}
			var w any
			if w, err = eval(item, row); err == nil && w != nil && compare(v, w) == 0 {
				return true, nil
			}
		}
		return false, err
	default:
		return nil, failure(codeSyntax, "Invalid function name")
	}
}

// evalCall computes the functions of one value that verify needs.
func evalCall(e exprCall, row env) (any, error) {
	if len(e.args) != 1 || e.name != "length" && e.name != "crc32" {
		return nil, failure(codeFunction, "Invalid function name : %s", e.name)
	}
	v, err := eval(e.args[0], row)
	if err != nil || v == nil {
		return nil, err
	}
	b, ok := v.([]byte)
	if !ok {
		b = []byte(literalText(v))
	}
	if e.name == "length" {
		return int64(len(b)), nil
	}
	return int64(crc32.ChecksumIEEE(b)), nil
}

func evalUnary(e exprUnary, row env) (any, error) {
	v, err := eval(e.arg, row)
	if err != nil {
		return nil, err
	}
	switch e.op {
	case "not":
		b, _ := v.(bool)
		return !b, nil
	case "is null":
		return v == nil, nil
	case "is not null":
		return v != nil, nil
	default:
		if d, ok := v.(time.Duration); ok {
			return -d, nil
		}
		f, ok := toFloat(v)
		if !ok {
			return nil, nil
		}
		return -f, nil
	}
}

func evalBinary(e exprBinary, row env) (any, error) {
	l, err := eval(e.left, row)
	if err != nil {
		return nil, err
	}
	if lb, ok := l.(bool); ok && (e.op == "and" && !lb || e.op == "or" && lb) {
		return lb, nil
	}
	r, err := eval(e.right, row)
	if err != nil {
		return nil, err
	}
	switch e.op {
	case "and", "or":
		b, _ := r.(bool)
		return b, nil
	case "+", "-", "*", "/", "%":
		return arithmetic(e.op, l, r), nil
	}
	if l == nil || r == nil {
		return false, nil
	}
	if e.op == "like" {
		return like(literalText(l), literalText(r)), nil
	}
	c := compare(l, r)
	switch e.op {
	case "=":
		return c == 0, nil
	case "<>", "!=":
		return c != 0, nil
	case "<":
		return c < 0, nil
	case "<=":
		return c <= 0, nil
	case ">":
		return c > 0, nil
	default:
		return c >= 0, nil
	}
}
