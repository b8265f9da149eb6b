// Package termguard keeps the terminal library quiet until the console is
// really wanted. When it is initialised that library asks the terminal for its
// colours and waits, for up to five seconds, for an answer; it does not ask a
// terminal of type "dumb". This package imports nothing that would let the
// library be initialised before it.
package termguard

import "os"

var term, set = os.LookupEnv("TERM")

func init() { os.Setenv("TERM", "dumb") }

// Restore gives the terminal its type back, before the console opens it. One whose
// type nobody has told stays "dumb": it may not answer either.
func Restore() {
	if set {
		os.Setenv("TERM", term)
	}
}
