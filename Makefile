# `make help` lists what there is. Nothing here is needed to use the project:
# `go build`, `go run . --demo` and `go test -timeout 30m ./...` do without it.

OUT     ?= bin
FUZZTIME ?= 10s
SOAKTIME ?= 30m
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

.DEFAULT_GOAL := help
.PHONY: soak faults help build test race lint cover bench bench-real soak-real fuzz screenshots demo clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/tdreplica, static
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)' -o $(OUT)/tdreplica .

test: ## run the tests
	go test -timeout 30m ./...

race: ## run the tests under the race detector
	go test -race -timeout 30m ./...

lint: ## check format, vet and staticcheck
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	go tool staticcheck ./...

cover: ## write cover.out and print the coverage of each function
	go test -timeout 30m -coverpkg=./... -coverprofile=cover.out ./...
	go tool cover -func=cover.out

bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchmem ./...

bench-real: ## measure between the servers TDREPLICA_TEST_A and _B, in turn with TDREPLICA_BENCH_LOOP (15 minutes)
	go test -run '^$$' -bench '^BenchmarkReal$$' -benchtime 1x -timeout 30m -v ./core/bench

faults: ## every fault at every step of the pump, with and without kill -9, as a table (a minute)
	cd core/contract && go test -run '^TestFaults$$' -count 1 -faults

soak: ## try 10,000 random schedules of changes and faults on embedded nodes (over an hour)
	go test ./core/contract -run 'TestConvergence$$' -rapid.checks 1250 -timeout 12h

soak-real: ## write to two real servers and kill them in turn for SOAKTIME (30m); core/contract/main_test.go says how
	TDREPLICA_TEST_SOAK=$(SOAKTIME) go test ./core/contract -run '^TestSoak$$' -count 1 -timeout 5h -v

fuzz: ## fuzz every decoder for FUZZTIME (10s) each
	@grep -rho --include='*_test.go' '^func Fuzz[A-Za-z]*' . | sed 's/^func //' | sort -u | while read -r target; do \
	  dir=$$(dirname "$$(grep -rl --include='*_test.go' "^func $$target(" . | head -1)"); \
	  echo "$$dir $$target"; \
	  go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$dir" || exit 1; \
	done

screenshots: ## render the console into screenshots/
	go test ./tui -run TestScreenshots -count 1 -screenshots

demo: ## two embedded nodes for 20 s, compared at the end
	go run . --demo --no-tui --duration 20s

clean: ## remove what these targets made
	rm -rf $(OUT) cover.out
