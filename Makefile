# Every target does its own set-up; `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help run build test bench chaos chaos-cluster judge fuzz engines engines-down cluster cluster-down

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

build: ## build the release binary
	@scripts/setup.sh build
	cargo build --release --locked -p chat4all

run: build ## build, and start on http://127.0.0.1:8080 with the data in ./data
	@ulimit -n $$(ulimit -Hn) 2>/dev/null; exec target/release/chat4all serve $(ARGS)

test: ## format, lints, every test, foreign clients
	@scripts/test.sh

bench: ## measure, beside the limits of this machine, and write docs/results/
	@scripts/bench.sh $(or $(ARGS),--out docs/results/bench.md)

chaos-cluster: ## do the same to a cluster of 2 apis, 2 gateways, 2 routers, Kafka, Cassandra and Redis
	@scripts/chaos-cluster.sh $(ARGS)

chaos: ## kill the server and cut its clients under load, and count what was lost
	@scripts/chaos.sh $(or $(ARGS),--report docs/results/chaos.md)

judge: ## try the API against openapi.json with schemathesis
	@scripts/judge.sh $(ARGS)

fuzz: ## fuzz frames, cursors and records for a minute each
	@scripts/fuzz.sh $(ARGS)

engines: ## start Kafka, Cassandra, PostgreSQL, Redis, S3 and a schema registry on loopback
	@scripts/engines.sh up $(ARGS)

engines-down: ## stop them
	@scripts/engines.sh down

cluster: build ## start replicated engines, two processes of each role and a balancer on http://127.0.0.1:8080
	@scripts/cluster.sh up $(ARGS)

cluster-down: ## stop them
	@scripts/cluster.sh down
