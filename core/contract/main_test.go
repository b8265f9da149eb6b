// Package contract holds what replication promises, one scenario a test. Each
// scenario runs against embedded nodes, and against two real servers as well
// if TDREPLICA_TEST_A and TDREPLICA_TEST_B name their endpoints, for example
//
//	TDREPLICA_TEST_A=http://root:taosdata@127.0.0.1:6041
//	TDREPLICA_TEST_B=http://root:taosdata@127.0.0.1:7041
//	TDREPLICA_TEST_C: a third server, for two sinks of one source
//	TDREPLICA_TEST_CTL: a command that restarts their processes, called as
//	    $TDREPLICA_TEST_CTL start|stop|kill a|b adapter|taosd
//	TDREPLICA_TEST_SOAK: how long TestSoak runs, for example 30m
//	TDREPLICA_TEST_SOAK_RATE: rows a second, both sides together, if not 52000
//
// What a variable is missing for is skipped with the reason.
package contract

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Scenarios mostly wait. More of them at once than there are processors
	// keeps the suite short.
	if !given("test.parallel") {
		_ = flag.Set("test.parallel", "24")
	}
	code := m.Run()
	removeBinary()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "after the suite:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func given(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}
