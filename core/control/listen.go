package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"tdreplica/core"
)

// SocketPath is where the instance of a state directory listens.
func SocketPath(stateDir string) string { return filepath.Join(stateDir, "control.sock") }

// maxPath is the longest path of a unix socket, in bytes.
const maxPath = len(syscall.RawSockaddrUnix{}.Path) - 1

const probeTimeout = time.Second

// Listen opens the control socket of a state directory, for its owner only. A
// socket that nobody answers on is removed first; one that is answered is left
// alone and refused. The caller holds the directory's instance lock.
func Listen(stateDir string) (net.Listener, error) {
	path := SocketPath(stateDir)
	if len(path) > maxPath {
		return nil, &core.RefusedError{
			Text: fmt.Sprintf("the control socket's path is too long for a unix socket: %d bytes of at most %d: %s", len(path), maxPath, path),
			Hint: "give a shorter directory with --state-dir",
		}
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: ownerOnly}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("restrict the control socket: %w", err)
	}
	return l, nil
}

// ownerOnly sets the mode before the socket gets its name, so that there is no
// moment in which others could connect. Systems that refuse this have the
// chmod after it, and the directory's own mode.
func ownerOnly(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
}

func removeStale(path string) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at the control socket: %w", err)
	case st.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("open the control socket: %s exists and is no socket", path)
	}
	conn, err := net.DialTimeout("unix", path, probeTimeout)
	switch {
	case err == nil:
		conn.Close()
		return &core.RefusedError{
			Text: "a process already answers on the control socket " + path,
			Hint: "give this instance a directory of its own with --state-dir",
		}
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
	default:
		return fmt.Errorf("probe the control socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the stale control socket: %w", err)
	}
	return nil
}
