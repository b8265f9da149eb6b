package store

import (
	_ "embed"
	"math/rand/v2"
	"strconv"
	"strings"
)

//go:embed words.txt
var wordList string

// words are what replicas are called: common, short, easily typed, and no two
// of them a single keystroke apart.
var words = strings.Fields(wordList)

// NewID returns a word that taken does not know. When every word is taken it
// puts a number behind one.
func NewID(taken func(string) bool) string {
	order := rand.Perm(len(words))
	for _, i := range order {
		if !taken(words[i]) {
			return words[i]
		}
	}
	for n := 2; ; n++ {
		for _, i := range order {
			if id := words[i] + strconv.Itoa(n); !taken(id) {
				return id
			}
		}
	}
}
