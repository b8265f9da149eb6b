package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/control"
	"tdreplica/core/store"
)

// TestAConsoleHandsItsInstanceOver leaves a console that holds the instance, and
// lets it go on in the background while rows are being written.
func TestAConsoleHandsItsInstanceOver(t *testing.T) {
	a, b := node(t, 2), node(t, 102)
	state := shortDir(t)
	declare(t, state, a, b)
	c := runConsoleOn(t, build(t), state)
	c.until("● running")
	write := func(from, to int) {
		t.Helper()
		for n := from; n < to; n++ {
			if err := a.Exec(fmt.Sprintf("insert into power.m values (%d, %d)", 1700000000000+n, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	press := func(keys string) {
		t.Helper()
		if _, err := c.terminal.WriteString(keys); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 50)
	press("q")
	c.until("Keep running")
	time.Sleep(500 * time.Millisecond) // the dialog is deaf for its first moment
	write(50, 100)
	press("\x1b[C\r")
	write(100, 200)
	_, after, left := bytes.Cut(c.end(), []byte(leaveScreen))
	if !left || !bytes.Contains(after, []byte("goes on in the background")) {
		t.Errorf("after the console: %q", after)
	}
	c.restored()
	if pid, owned := store.Owner(state); !owned || pid == c.cmd.Process.Pid {
		t.Errorf("the state directory is owned by %d (%v) after the handover", pid, owned)
	}
	write(200, 250)
	awaitRows(t, b, 250)

	successor := control.NewClient(state)
	defer successor.Close()
	if err := successor.Shutdown(context.Background(), core.Actor{Via: "test"}); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, owned := store.Owner(state); !owned {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the instance in the background does not end")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestAHandoverThatIsInterruptedTellsTheTruth ends the console by a signal while
// it hands its instance over: what it says last must be so.
func TestAHandoverThatIsInterruptedTellsTheTruth(t *testing.T) {
	program := build(t)
	for _, after := range []time.Duration{0, 10 * time.Millisecond, 40 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			a, b := node(t, 2), node(t, 102)
			state := shortDir(t)
			declare(t, state, a, b)
			c := runConsoleOn(t, program, state)
			c.until("● running")
			if _, err := c.terminal.WriteString("q\x1b[C\r"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(after)
			if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			var said []byte
			for said = range c.seen {
			}
			ended := <-c.ended
			goesOn, lost := bytes.Contains(said, []byte("goes on in the background")), bytes.Contains(said, []byte("nothing replicates now"))
			if lost != (ended != nil) || goesOn && lost {
				t.Errorf("ended with %v after %q", ended, said)
			}
			t.Logf("goes on: %v, lost: %v", goesOn, lost)
			time.Sleep(time.Second) // one that nobody waits for would be up by now
			_, owned := store.Owner(state)
			if owned != goesOn {
				t.Errorf("the instance goes on: %v; the console said: %v", owned, goesOn)
			}
			if owned {
				client := control.NewClient(state)
				defer client.Close()
				if err := client.Shutdown(context.Background(), core.Actor{Via: "test"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
