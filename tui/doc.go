// Package tui is the console: a Bubble Tea program over a core.Controller.
//
// It pulls snapshots (one request in flight, woken early by Changes) and never
// knows whether the instance runs in this process or at the other end of a
// socket. One root model owns all state; screens, panes and dialogs are plain
// structs with methods. Keys, help, palette, footer and the README's key table
// come from the one action table (actions.go), every word shown from the one
// catalogue (text.go), every width from x/ansi.
package tui
