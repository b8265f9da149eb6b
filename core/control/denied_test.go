package control

import (
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"tdreplica/core"
)

// TestADirectoryOfAnotherUserIsNamed hands the client what connect says there: a
// test that runs as root is never refused.
func TestADirectoryOfAnotherUserIsNamed(t *testing.T) {
	c := NewClient(t.TempDir())
	defer c.Close()
	refused := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	err := c.unanswered(&url.Error{Op: "Get", URL: "http://instance/v1/info", Err: refused})
	var denied *DeniedError
	if !errors.As(err, &denied) || errors.Is(err, core.ErrNotRunning) {
		t.Fatalf("it says %v", err)
	}
	if hint := core.HintOf(err); !strings.Contains(hint, "sudo -u "+ownerOf(denied.Dir)+" ") || ownerOf("/") != "root" {
		t.Errorf("the hint is %q; / belongs to %s", hint, ownerOf("/"))
	}
}
