// Package config is the TOML schema: its defaults, its validation and its
// documentation (replica.example.toml). It is a leaf: it imports nothing of
// this module.
package config

import "time"

// Config is the whole configuration with every default filled in.
type Config struct {
	Instance  Instance            `toml:"instance"`
	Endpoints map[string]Endpoint `toml:"endpoints"`
	Replicas  []Replica           `toml:"replica"`
	Engine    Engine              `toml:"engine"`
	Console   Console             `toml:"console"`
	Metrics   Metrics             `toml:"metrics"`

	// File is where it was read from; empty if it is the defaults alone.
	File string `toml:"-"`
	// Warnings are what is allowed but unwise, for the caller to show.
	Warnings []Problem `toml:"-"`
}

// Instance is where this process keeps its state and its log.
type Instance struct {
	Name      string `toml:"name"`
	StateDir  string `toml:"state_dir"`
	LogLevel  string `toml:"log_level"`
	LogFormat string `toml:"log_format"`
	LogFile   string `toml:"log_file"`
	ReadOnly  bool   `toml:"read_only"`
}

// Endpoint is one side of a replica, by name.
type Endpoint struct {
	URL           string `toml:"url"`
	User          string `toml:"user"`
	PasswordFile  string `toml:"password_file"`
	PasswordEnv   string `toml:"password_env"`
	TokenFile     string `toml:"token_file"`
	TLSCAFile     string `toml:"tls_ca_file"`
	TLSSkipVerify bool   `toml:"tls_skip_verify"`
	Compression   bool   `toml:"compression"` // of messages on the line
}

// Replica declares a pair source → sink.
type Replica struct {
	ID                string   `toml:"id"`
	Source            string   `toml:"source"`
	Sink              string   `toml:"sink"`
	Databases         []string `toml:"databases"`
	Exclude           []string `toml:"exclude"`
	CreateDatabases   bool     `toml:"create_databases"`
	NoNewDatabases    bool     `toml:"no_new_databases"`
	CheckInterval     Duration `toml:"new_database_checking_interval"`
	Workers           Workers  `toml:"workers"`
	MaxBytesPerSecond Bytes    `toml:"max_bytes_per_second"` // 0: no limit
	StartFrom         string   `toml:"start_from"`
	RawRows           bool     `toml:"raw_rows"`
	GroupName         string   `toml:"group_name"`     // empty: the consumer groups are not shared
	HoldWAL           bool     `toml:"hold_wal"`       // the source keeps its WAL until it is committed
	HoldWALLimit      Duration `toml:"hold_wal_limit"` // but no longer than this without a commit; 0: no limit
	MaxLag            Duration `toml:"max_lag"`
	MaxInterrupted    Duration `toml:"max_interrupted"`
}

// Engine tunes the data path.
type Engine struct {
	QueueBytes     Bytes    `toml:"queue_bytes"`      // per task, between reader and writer
	CommitInterval Duration `toml:"commit_interval"`  // at the most one commit per vgroup in this time
	CommitMessages int      `toml:"commit_messages"`  // or after so many messages
	RetryMin       Duration `toml:"retry_min"`        // first pause after a failure
	RetryMax       Duration `toml:"retry_max"`        // longest pause
	RequestTimeout Duration `toml:"request_timeout"`  // of every request but subscribe and write
	WriteTimeout   Duration `toml:"write_timeout"`    // of one message at the sink
	PollWaitMin    Duration `toml:"poll_wait_min"`    // blocking time of a poll under traffic
	PollWaitMax    Duration `toml:"poll_wait_max"`    // blocking time of a poll when idle
	StallTimeout   Duration `toml:"stall_timeout"`    // silence of a source that has news
	StopTimeout    Duration `toml:"stop_timeout"`     // of a graceful stop
	OnPoison       string   `toml:"on_poison"`        // what becomes of rows that a sink refuses for good
	Quarantine     Bytes    `toml:"quarantine_bytes"` // of all messages in quarantine together
	ConflictBytes  Bytes    `toml:"conflict_bytes"`   // per task, of keys of rows to find conflicts by; 0: they are not looked for
}

// What becomes of rows that a sink refuses for good: the task stops at them, or
// they are put in quarantine and the task goes on.
const (
	PoisonStop       = "stop"
	PoisonQuarantine = "quarantine"
)

// Console is how the terminal interface looks.
type Console struct {
	Lang    string   `toml:"lang"`    // auto, en, zh
	Theme   string   `toml:"theme"`   // auto, dark, light, colorblind
	ASCII   bool     `toml:"ascii"`   // no box drawing, no block glyphs
	Refresh Duration `toml:"refresh"` // of the numbers
}

// Metrics is the Prometheus endpoint.
type Metrics struct {
	Listen string `toml:"listen"` // host:port; empty: none
}

// Duration is a time span written with its unit: "30s", "5m", "1h30m".
type Duration struct{ time.Duration }

// Workers is a number of consumers, or 0 for "auto".
type Workers int

// Bytes is a size written with its unit: "64MB", "512KB"; powers of 1024.
type Bytes int64
