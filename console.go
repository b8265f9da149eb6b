package main

import (
	"context"

	"tdreplica/core"
	"tdreplica/core/cli"
	"tdreplica/core/demo"
)

func console(context.Context, cli.Launch, string) error {
	openConsole()
	return &core.RefusedError{Text: "this build has no console", Hint: "run the instance with --no-tui"}
}

func demoConsole(ctx context.Context, l cli.Launch, version string) error {
	return demo.Run(ctx, demo.Options{Version: version})
}
