package config

import (
	"os"
	"path/filepath"
	"time"
)

// Default returns the configuration of an empty file.
func Default() *Config {
	c := &Config{
		Instance: Instance{LogLevel: "info", LogFormat: "text"},
		Engine: Engine{
			QueueBytes:     64 << 20,
			CommitInterval: Duration{time.Second},
			CommitMessages: 100000,
			RetryMin:       Duration{500 * time.Millisecond},
			RetryMax:       Duration{15 * time.Second},
			RequestTimeout: Duration{30 * time.Second},
			WriteTimeout:   Duration{5 * time.Minute},
			PollWaitMin:    Duration{10 * time.Millisecond},
			PollWaitMax:    Duration{900 * time.Millisecond},
			StallTimeout:   Duration{60 * time.Second},
			StopTimeout:    Duration{30 * time.Second},
			OnPoison:       PoisonStop,
			Quarantine:     1 << 30,
			ConflictBytes:  16 << 20,
		},
		Console: Console{Lang: "auto", Theme: "auto", Refresh: Duration{time.Second}},
	}
	c.Instance.StateDir = DefaultStateDir()
	return c
}

// DefaultReplica returns a replica with the settings that nobody gave.
func DefaultReplica() Replica {
	return Replica{
		CheckInterval:  Duration{30 * time.Minute},
		Workers:        1,
		StartFrom:      "earliest",
		HoldWALLimit:   Duration{24 * time.Hour},
		MaxInterrupted: Duration{5 * time.Minute},
	}
}

// DefaultStateDir is where an instance keeps its state if nobody says
// otherwise: $XDG_STATE_HOME/tdreplica, else /var/lib/tdreplica for root, else
// ~/.local/state/tdreplica. Without a home it is a directory of this name in
// the working directory.
func DefaultStateDir() string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "tdreplica")
	}
	if os.Geteuid() == 0 {
		return "/var/lib/tdreplica"
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "tdreplica-state"
	}
	return filepath.Join(home, ".local", "state", "tdreplica")
}
