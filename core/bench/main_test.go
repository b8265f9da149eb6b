// Package bench measures the whole instance against embedded nodes. The nodes
// run in a process of their own, so that what is told of CPU, memory and
// allocations is the replicator's alone.
package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tdreplica/core"
	"tdreplica/core/embedded"
)

// nodesEnv makes the test binary the process of the nodes.
const nodesEnv = "TDREPLICA_BENCH_NODES"

// world is what the nodes hold. Both have the databases d0, d1, …; node A has
// the rows.
type world struct {
	Databases int
	Vgroups   int  // of each database
	Batches   int  // of batchRows rows, in each vgroup of d0 at A
	Lose      bool // B acknowledges writes and does nothing
	Replay    int  // as many messages in each vgroup of d0, from a stub in front of A that also takes the writes
	SlowMS    int  // how long the stub takes to acknowledge a write
	Late      bool // idle polls look for rows once a second, as on real servers
}

const batchRows = 4096 // one message

// messages is how many with rows d0 has.
func (w world) messages() int64 { return int64(w.Vgroups * max(w.Batches, w.Replay)) }

// nodes are the addresses of the two, and their process.
type nodes struct {
	A, B core.Endpoint
	pid  int
}

func TestMain(m *testing.M) {
	text := os.Getenv(nodesEnv)
	if text == "" {
		os.Exit(m.Run())
	}
	var w world
	if err := json.Unmarshal([]byte(text), &w); err == nil {
		err = serve(w)
		if err == nil {
			os.Exit(0)
		}
		fmt.Fprintln(os.Stderr, "serve the nodes:", err)
	}
	os.Exit(1)
}

// serve runs the nodes until the other process closes its end.
func serve(w world) error {
	a, err := embedded.Start(embedded.Options{LatePolls: w.Late})
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := embedded.Start(embedded.Options{FirstVgroupID: 100_000, LatePolls: w.Late})
	if err != nil {
		return err
	}
	defer b.Close()
	for i := range w.Databases {
		for _, n := range []*embedded.Node{a, b} {
			if err := n.Exec(fmt.Sprintf("create database d%d vgroups %d wal_retention_period 86400", i, w.Vgroups)); err != nil {
				return err
			}
		}
	}
	if err := fill(a, w); err != nil {
		return err
	}
	if w.Lose {
		if err := b.Exec(backlogTable); err != nil {
			return err
		}
		// What has the node look tables up is small, and is answered by a refusal.
		b.Faults().Add(embedded.Fault{Action: "write_raw", Code: 0x2507, Match: func(r embedded.Request) bool {
			return r.RawType == uint16(core.RawData) && len(r.Raw) < 1<<10
		}})
		b.Faults().Add(embedded.Fault{Action: "write_raw", Lose: true})
	}
	at, to := a.URL(), b.URL()
	if w.Replay > 0 {
		s, err := newStub(endpoint(at), w)
		if err != nil {
			return err
		}
		if at, err = s.serve(at); err != nil {
			return err
		}
		if to, err = s.serve(to); err != nil {
			return err
		}
	}
	fmt.Println(at, to)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

const backlogTable = "create table d0.st(ts timestamp, v int, f float, p int) tags(g int)"

// fill writes a backlog: tables in turn, so that every vgroup has its share.
func fill(n *embedded.Node, w world) error {
	if err := n.Exec(backlogTable); err != nil {
		return err
	}
	for g := range w.Vgroups {
		if err := n.Exec(fmt.Sprintf("create table d0.c%d using d0.st tags(%d)", g, g)); err != nil {
			return err
		}
	}
	for i := range w.Batches {
		var rows strings.Builder
		for r := range batchRows {
			fmt.Fprintf(&rows, "(%d,%d,%d.5,%d)", 1767225600000+int64(i*batchRows+r), r, r%100, r%7)
		}
		for g := range w.Vgroups {
			if err := n.Exec(fmt.Sprintf("insert into d0.c%d values", g) + rows.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

// startNodes runs the nodes until the benchmark ends.
func startNodes(b *testing.B, w world) nodes {
	b.Helper()
	text, err := json.Marshal(w)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nodesEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("the process of the nodes: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatalf("start the nodes: %v", err)
	}
	urls := strings.Fields(line)
	return nodes{endpoint(urls[0]), endpoint(urls[1]), cmd.Process.Pid}
}

func endpoint(url string) core.Endpoint {
	return core.Endpoint{URL: url, User: "root", Password: "taosdata"}
}
