package config

import "strings"

// MatchDatabases reports whether a database belongs to a replica: one of
// patterns matches its name, or there is none, and none of exclude does. In a
// pattern `*` stands for any number of characters; everything else, upper and
// lower case included, stands for itself. It knows nothing of system databases.
func MatchDatabases(patterns, exclude []string, name string) bool {
	for _, p := range exclude {
		if matchPattern(p, name) {
			return false
		}
	}
	for _, p := range patterns {
		if matchPattern(p, name) {
			return true
		}
	}
	return len(patterns) == 0
}

// matchPattern takes time proportional to the pattern times the name at worst.
func matchPattern(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return true
}

// patternProblem says what is wrong with a database pattern, or "".
func patternProblem(p string) string {
	switch {
	case p == "":
		return "is empty; expected the name of a database, in which * stands for any characters"
	case strings.ContainsAny(p, "?[]{}^$|+()"):
		return "is not the name of a database; of patterns only * is known, which stands for any characters"
	case strings.ContainsAny(p, ".`'\"/\\ \t\r\n") || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "is not the name of a database; dots, quotes, slashes, spaces and control characters are not allowed"
	case len(strings.ReplaceAll(p, "*", "")) > 64:
		return "is longer than the 64 bytes of a database's name"
	}
	return ""
}
