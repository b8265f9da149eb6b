// Package core is the vocabulary of tdreplica: what an instance, a replica, a
// task and a vgroup are, how their state is reported, and what may be asked of
// an instance. Every other package speaks in these words; this one imports the
// standard library only and does no input or output.
//
// Words. A replica is a pair source → sink with an id that is a common word.
// For each database of a replica there is one task. A task reads the database's
// topic at the source vgroup by vgroup and applies every message at the sink.
// Offsets are WAL versions: they count every WAL entry of a vgroup (rows, DDL,
// commits), not rows, and are not comparable between vgroups.
package core
