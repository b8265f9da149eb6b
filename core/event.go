package core

import "time"

// Level grades events.
type Level string

// The levels of events, from least to most urgent.
const (
	LevelInfo  Level = "info"
	LevelWarn  Level = "warn"
	LevelError Level = "error"
)

// EventKind says what an event is about.
type EventKind string

// The kinds of events.
const (
	EventCommand  EventKind = "command"  // somebody asked for something
	EventState    EventKind = "state"    // a task changed its state
	EventDDL      EventKind = "ddl"      // a change of schema was applied
	EventGap      EventKind = "gap"      // WAL versions are missing
	EventDrift    EventKind = "drift"    // the two sides differ in schema
	EventConflict EventKind = "conflict" // a row was written on both sides
	EventError    EventKind = "error"    // something went wrong
	EventInstance EventKind = "instance" // the instance started, stopped, read its configuration
)

// Event is something that happened, in words an operator can act on.
type Event struct {
	Seq      uint64    `json:"seq"` // grows by one with each event of one state directory's instance
	At       time.Time `json:"at"`
	Level    Level     `json:"level"`
	Kind     EventKind `json:"kind"`
	Replica  string    `json:"replica,omitempty"`
	Database string    `json:"database,omitempty"`
	Actor    Actor     `json:"actor"`
	Text     string    `json:"text"`
}

// Actor is who asked: a person through the console or a command, the
// configuration, or the engine itself.
type Actor struct {
	Via  string `json:"via"`            // console, command, config, engine
	User string `json:"user,omitempty"` // the login name, where there is one
}

func (a Actor) String() string {
	if a.User == "" {
		return a.Via
	}
	return a.Via + " (" + a.User + ")"
}
