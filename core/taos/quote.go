package taos

import "strings"

// QuoteIdent writes a name so that SQL takes it as it is, whatever is in it:
// spaces, dots, quotes, Chinese, capitals, keywords. A backtick is doubled.
func QuoteIdent(name string) string {
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}

// QuoteString writes a text as a SQL string. In TDengine's strings a backslash
// escapes the character after it.
func QuoteString(s string) string {
	return "'" + escapes.Replace(s) + "'"
}

var escapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// qualified is database.name, quoted.
func qualified(database, name string) string {
	return QuoteIdent(database) + "." + QuoteIdent(name)
}
