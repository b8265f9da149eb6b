// Package embedded is a small in-memory stand-in for taosAdapter and TDengine,
// for the demo and the tests. A Node listens on loopback and speaks the same
// REST and WebSocket protocol: SQL over /rest/sql, consumers on /rest/tmq, the
// raw writer on /ws. It keeps vgroups with write-ahead logs, topics, consumer
// groups and stored offsets, marks what the raw writer wrote, and has the raw
// writer's real faults. The payloads it hands out and takes have the layout of
// the real server's, so that one decoder serves both.
//
// It is not a database: nothing is durable, SQL is a subset, and the only
// promise is to behave as the real thing where a replicator looks.
package embedded
