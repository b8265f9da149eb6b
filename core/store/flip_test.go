//go:build !race

package store_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"tdreplica/core/store"
)

// The race detector comes with a check of pointers that ends the process where
// the file's library follows a damaged length; so this is for builds without it.

// TestFlippedBits flips one bit in each of many bytes of a state file: it is
// either refused, or holds what was written.
func TestFlippedBits(t *testing.T) {
	dir, want := filled(t)
	good, err := os.ReadFile(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	spoilt := t.TempDir()
	path := filepath.Join(spoilt, "state.db")
	refused := 0
	for at := 0; at < len(good); at++ {
		if good[at] == 0 && at%16 != 0 {
			continue // most of a page is empty
		}
		b := append([]byte(nil), good...)
		b[at] ^= 1 << (at % 8)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := store.OpenReadOnly(spoilt)
		if err != nil {
			refused++
			continue
		}
		got, err := read(s)
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("byte %d: read %+v, want %+v", at, got, want)
		}
		s.Close()
	}
	if refused == 0 {
		t.Error("no flipped bit was noticed")
	}
}
