// Package raw looks inside the raw payloads of TMQ messages: which tables they
// create, alter, drop or delete from, which rows and columns they carry. It also
// builds payloads: one item out of a batch, a delete for one child table, rows
// without the columns that a sink does not have. A replicator needs no more of a
// payload than that; everything else travels through it untouched.
//
// Layouts are those of TDengine 3.3 (docs/payloads.md). Records grow at their
// end from version to version, so decoders take what they know and step over the
// rest of a record. Every length is checked against the bytes that are there:
// memory grows with the payload, never with a number it claims.
//
// Decoded values share memory with the payload. All functions are pure and safe
// for concurrent use as long as nobody writes to the payload.
package raw
