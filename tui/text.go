package tui

import (
	"os"
	"strings"

	"tdreplica/config"
	"tdreplica/core"
)

// text is the catalogue: every word that the console shows. Notes and events
// come from the instance, in English, and are translated part by part. A test
// holds both languages against each other: no text is missing, formats take the
// same values.
type text struct {
	Col struct {
		Replica, Task, Pair, Source, Sink, Database, State, Diff, Lag, Rate, ETA, Since, History, Note string
		Phase, Trend, Highest                                                                          string
		Vgroup, Current, Committed, Latest, LastApplied                                                string
	}
	State       map[core.State]string
	DesiredWord map[core.Desired]string
	Outcome     map[core.Outcome]string
	Vgroup      map[string]string // states and steps of a vgroup
	Mode        map[Mode]string
	Scope       map[scope]string
	Act         map[actionID]actText
	Meaning     []meaning
	EmptyHow    []string // what n, tab and enter do there
	Phrase      []string // parts of what an instance says, {1} for what differs

	Via  map[string]string // where an event's actor came from, and a replica
	Path map[string]string // what the paths of the info screen are

	CatchingUp, CaughtUp, Idle, Comma, Up, ReadOnly, WorstLag, CountTasks                 string
	TasksTitle, Marked, SortNeed, SortVgroup, SortTitle, SortedBy, Filtered               string
	NothingMatches, VgroupsTitle, VgroupsOf, CountVgroups, CountVgroupsHead               string
	EventsTitle, EventsOf, EventsAll, Following, NotFollowing, AllLevels, FromWarn        string
	OnlyErrors, FilterIs, EventsFailed, NoEvents, TheInstance                             string
	Try, NextTryIn, TryingNow, InStep, Queue, CommitAgo, NumbersOld, WALForever, HeadRoom string
	TooSmall, Connecting, NoData, EmptyTitle, EmptyCommand                                string
	EmptyReadOnly, NoAnswer, LostFor, PausedFor, NotRunning, OldFor                       string
	Dismiss, ReadOnlyRefused, RefreshIs, FilterHelp, NoSuchAction, AndMore                string
	Cancel, StopTitle, StopSays, StopDo, RestartTitle, RestartSays, RestartDo             string
	Restarting, WALKeeps, OneReplica, RemoveTitle, RemoveStops, RemoveAsking              string
	VerifyTitle, VerifySays, VerifyDo, Verifying, RepairTitle, RepairSays, RepairDo       string
	Repairing, RepairWins, RepairGap, Audited                                             string
	RemoveKept, RemoveLeft, TypeName, RemoveDo                                            string
	QuitTitle, QuitSays, QuitKeep, QuitKeepSays, QuitStop, QuitStopSays                   string
	QuitDemo, QuitDemoDo, HandingOver                                                     string
	FormTitle, FormHelp, FormSide, User, Password, SameAsSource, Inspecting, Next         string
	PickTitle, AddTitle, PickAll, PickCreate, PickHelp, PickFit, PickHere                 string
	PickOnlySink, PickWillCreate, PickNone, Creating                                      string
	DetailTitle, LastError, Gaps, GapIs, DDLHistory, None, Desired, Throughput            string
	Totals, TotalsAre, Retries, QueueName, Workers, AutoWorkers, LastCommit, Quarantined  string
	Conflicts, ConflictsAre, BothSides, HoldWAL, HoldWALIs, TaskGone, VgroupIs            string
	Warning, ReadBy, Topic, Group, Precision, Databases, AllOfThem, Except, Declared      string
	Undeclared, MaxRate, StartFrom, NewDatabases, EverySpan, CreateDatabases, TwoWay      string
	Limits, LimitsAre, Yes, No, Chart15, ChartLag15, Chart24, ChartLag24                  string
	ChartNow, HelpTitle, Meanings, InfoTitle, Instance, Version, Process                  string
	StateDir, ModeName, Refresh, ThemeName, Configuration                                 string
	Copied, WriteTitle, WritePath, WriteHelp, WriteKinds, WriteFailed, Written            string
}

// actText names an action: short for the footer, long for help and palette.
type actText struct{ short, long string }

// meaning explains a number of the screen.
type meaning struct{ name, says string }

// languageOf chooses the language: the configured one, else the locale's.
func languageOf(c *config.Config) *text {
	lang := "auto"
	if c != nil && c.Console.Lang != "" {
		lang = c.Console.Lang
	}
	if lang == "auto" {
		for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
			if lang = os.Getenv(name); lang != "" {
				break
			}
		}
	}
	if strings.HasPrefix(lang, "zh") {
		return &chinese
	}
	return &english
}
