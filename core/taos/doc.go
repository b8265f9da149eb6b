// Package taos is the only one that knows TDengine. It reads TMQ topics raw and
// writes raw messages over taosAdapter's WebSocket protocol, and runs SQL over
// its REST interface. docs/protocol.md holds the facts it relies on.
//
// It implements the engine's ports: Connector opens a Catalog (SQL), a Source
// (one consumer) or a Sink (one connection to write into). Every failure is a
// *core.Error whose class says what to do about it, or the context's error.
// Credentials are read again at each connect and never appear in an error.
package taos
