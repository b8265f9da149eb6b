package embedded

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenIdent
	tokenQuoted // an identifier in backticks: its case counts
	tokenNumber
	tokenString
	tokenOp
)

// number is a numeric literal as written, so that no digit is lost before the
// column's type is known.
type number string

type token struct {
	kind tokenKind
	text string // identifiers as written, strings unescaped
	pos  int
}

// lex splits a statement into tokens and passes over comments.
func lex(sql string) ([]token, error) {
	toks := make([]token, 0, len(sql)/4+2)
	for i := 0; i < len(sql); {
		c := sql[i]
		start := i
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case strings.HasPrefix(sql[i:], "/*") && strings.Contains(sql[i+2:], "*/"):
			i += 2 + strings.Index(sql[i+2:], "*/") + 2
		case c == '\'' || c == '"':
			text, end, ok := lexString(sql, i)
			if !ok {
				return nil, syntaxError(sql[i:])
			}
			toks = append(toks, token{tokenString, text, start})
			i = end
		case c == '`':
			end := strings.IndexByte(sql[i+1:], '`')
			if end < 0 {
				return nil, syntaxError(sql[i:])
			}
			toks = append(toks, token{tokenQuoted, sql[i+1 : i+1+end], start})
			i += end + 2
		case c >= '0' && c <= '9' || c == '.' && i+1 < len(sql) && sql[i+1] >= '0' && sql[i+1] <= '9' && !afterName(toks, i):
			i = lexNumber(sql, i)
			toks = append(toks, token{tokenNumber, sql[start:i], start})
		case c == '_' || c == '@' || c >= utf8.RuneSelf || unicode.IsLetter(rune(c)):
			for i < len(sql) && isNameByte(sql[i]) {
				i++
			}
			toks = append(toks, token{tokenIdent, sql[start:i], start})
		default:
			i += opLength(sql[i:])
			toks = append(toks, token{tokenOp, sql[start:i], start})
		}
	}
	return append(toks, token{tokenEnd, "", len(sql)}), nil
}

// afterName reports whether a point at i separates names rather than opening a
// number, as in db.1x.
func afterName(toks []token, i int) bool {
	if len(toks) == 0 {
		return false
	}
	last := toks[len(toks)-1]
	return last.kind == tokenQuoted || last.kind == tokenIdent && last.pos+len(last.text) == i
}

func isNameByte(c byte) bool {
	return c == '_' || c == '@' || c >= utf8.RuneSelf || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// lexNumber takes digits with a point, an exponent, or letters after them, as
// in the durations 10d and 500a or in 0xff.
func lexNumber(sql string, i int) int {
	for i < len(sql) {
		c := sql[i]
		sign := (c == '+' || c == '-') && (sql[i-1] == 'e' || sql[i-1] == 'E')
		if !isNameByte(c) && c != '.' && !sign {
			break
		}
		i++
	}
	return i
}

func opLength(s string) int {
	if len(s) > 1 {
		switch s[:2] {
		case "<=", ">=", "<>", "!=", "||":
			return 2
		}
	}
	return 1
}

// lexString reads a string with doubled quotes and backslash escapes. `\x`
// stays as it is: the column's type decides what it means.
func lexString(sql string, i int) (text string, end int, ok bool) {
	quote := sql[i]
	var b strings.Builder
	for i++; i < len(sql); i++ {
		c := sql[i]
		switch {
		case c == quote && i+1 < len(sql) && sql[i+1] == quote:
			b.WriteByte(quote)
			i++
		case c == quote:
			return b.String(), i + 1, true
		case c == '\\' && i+1 < len(sql):
			i++
			switch e := sql[i]; e {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'r':
				b.WriteByte('\r')
			case '\'', '"', '\\':
				b.WriteByte(e)
			default:
				b.WriteByte('\\')
				b.WriteByte(e)
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, false
}
