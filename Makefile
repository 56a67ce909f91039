.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
# Stages call `python` and `dvc` by name: the environment's come first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
UV := $(shell command -v uv 2>/dev/null)
UV_INSTALL := $(UV) pip install --quiet --python $(VENV)/bin/python
STAMP := $(VENV)/.requirements

# Trainings at once, each with the threads that params.yaml says; JOBS=1: one after the other.
JOBS ?= $(shell nproc 2>/dev/null || echo 1)
TRAIN_AHEAD = $(if $(filter-out 1,$(JOBS)),thumbnets train --jobs $(JOBS))

# The scores that the README quotes are means over these.
SEEDS ?= [0,1,2]
CPU := $(shell sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo 2>/dev/null), $(shell nproc) cores

PEERS := $(VENV)/.peers
# Questions and options of `python -m benchmarks`.
BENCH ?=

.PHONY: help install repro test fuzz lint format report results results-local tiny ten-cnns rmdl mil recipes teacher bench lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## set up .venv from the pinned, hashed requirements

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"thumbnets needs Python 3.11 or later, $(PYTHON) is {sys.version.split()[0]}: set PYTHON=...")'
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
ifeq ($(UV),)
	@echo "installing into $(VENV) with pip"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
else
	@echo "installing into $(VENV) with uv"
	@$(UV_INSTALL) --require-hashes -r requirements.lock || $(UV_INSTALL) --offline --require-hashes -r requirements.lock
	@$(UV_INSTALL) --offline --no-deps --no-build-isolation --editable .
endif
	@touch $@

repro: install ## run the pipeline: whatever is out of date, and nothing else (JOBS at once)
	$(TRAIN_AHEAD)
	dvc repro

# Those of the whole pipeline take as long as all others: side by side they need half the time.
test: install ## run the tests
	@log=$$(mktemp); python -m pytest tests/test_pipeline.py > $$log 2>&1 & pipeline=$$!; \
		python -m pytest --ignore tests/test_pipeline.py; others=$$?; \
		wait $$pipeline; pipeline=$$?; cat $$log; rm -f $$log; exit $$((others || pipeline))

# Damaged files of each kind, and one kind by its name: make fuzz COUNT=100 KIND=npz
COUNT ?= 10000
KIND ?=

fuzz: install ## damage each KIND of file COUNT times, and print what its reader does
	python -m tests.faults $(COUNT) $(KIND)

lint: install ## check style
	ruff check .
	ruff format --check .

format: install ## put the code into the project's style
	ruff check --fix .
	ruff format .

report: install ## print where the report is
	@echo "file://$(CURDIR)/report/index.html"

# What results rest on, and what is put back in the end.
heading = printf '<!-- %s, commit %s, %s -->\n\n' "$(1)" "$$(git rev-parse --short HEAD)" '$(CPU)'
define begin_results
	@git diff --quiet HEAD || { echo "commit or stash first: results name a commit (after a run that failed:" \
		"git checkout . && git clean -fdq metrics && dvc checkout --allow-missing)"; exit 1; }
	@mkdir -p results
endef
define end_results
	git checkout --quiet -- params.yaml dvc.lock metrics report && git clean -fdq metrics && dvc checkout --quiet --allow-missing
endef

# Runs the experiment whose params are set, its trainings JOBS at once.
run_experiment = $(if $(TRAIN_AHEAD),$(TRAIN_AHEAD) &&) dvc exp run

# $(call experiment,FILE,PARAMS): run an experiment, and keep its report as results/FILE.md
define experiment
	dvc exp run -S 'seeds=$(SEEDS)' $(2) preprocess
	$(run_experiment)
	@{ $(call heading,make $@ SEEDS=$(SEEDS): $(2)); cat report/report.md; } > results/$(1).md
endef

results: install ## run the pool, and the source's experiments, with several seeds: results/
	$(begin_results)
	$(call experiment,fashion_mnist,)
	$(call experiment,patches_permuted,-S model=mlp4_permuted)
	$(call experiment,patches_shared,-S model=mlp4_shared)
	$(call experiment,double_softmax,-S model=cnn_b_softmax)
	$(end_results)

# $(call pool,BLOCKS): the param, with the blocks repeated until they fill its places
empty :=
comma := ,
places := 1 2 3 4 5 6 7 8 9
pool = -S 'pool=[$(subst $(empty) ,$(comma),$(wordlist 1,$(words $(places)),$(foreach _,$(places),$(strip $(1)))))]'

# The experiment table of Not-Just-Another-MNIST.
TINY := tiny_cnn_skeleton tiny_cnn_augmented tiny_cnn_onecycle

tiny: install ## rerun the experiments of the tiny CNNs on MNIST (SEEDS): results/
	$(begin_results)
	$(call experiment,tiny_cnn,-S data.name=mnist -S model=tiny_cnn_onecycle $(call pool,$(TINY)))
	$(end_results)

# Two recipes, five trainings of each.
ten-cnns: SEEDS := [0,1,2,3,4]
ten-cnns: install ## let ten CNNs of 7,496 parameters vote on MNIST: results/
	$(begin_results)
	$(call experiment,ten_cnns_mnist,-S data.name=mnist -S model=tiny_cnn_long $(call pool,tiny_cnn_15 tiny_cnn_long) \
		-S ensemble.seeds=5 -S ensemble.rule=all -S evaluation.tta=shift)
	$(end_results)

DATA ?= fashion_mnist
TTA ?= none
# As in RMDL's source: first all DNNs, then RNNs, then CNNs.
N ?= 9
RMDL_3 := rmdl_dnn_0 rmdl_rnn_0 rmdl_cnn_0
RMDL_9 := $(foreach kind,dnn rnn cnn,rmdl_$(kind)_0 rmdl_$(kind)_1 rmdl_$(kind)_2)
# Or any blocks, nine at most; the last is the headline.
MEMBERS ?= $(RMDL_$(N))

rmdl: install ## 3 or 9 (N) random networks of RMDL, or MEMBERS, and their majority (DATA, SEEDS): results/
	$(if $(MEMBERS),,$(error N must be 3 or 9, got $(N); or name MEMBERS))
	$(if $(word 10,$(MEMBERS)),$(error MEMBERS are nine at most, got $(words $(MEMBERS))))
	$(begin_results)
	$(call experiment,rmdl_$(words $(MEMBERS))_$(DATA),-S data.name=$(DATA) -S model=$(lastword $(MEMBERS)) $(call pool,$(MEMBERS)) \
		-S ensemble.rule=all -S ensemble.voting=hard)
	$(end_results)

LOCAL := python -m thumbnets.report.local_losses
# Of the source's networks for DATA; none named: all.
NETWORKS ?=
# Epochs of a training, or `source`: as many as the source has, which is for GPUs.
EPOCHS ?= 4

results-local: install ## rerun the source's table of local losses (DATA, SEEDS, EPOCHS, NETWORKS): results/
	$(begin_results)
	@mkdir -p build && rm -f metrics/*.json
	networks=$$($(LOCAL) networks $(DATA)) && for network in $(or $(NETWORKS),$$networks); do \
		$(LOCAL) params $(DATA) $$network $(EPOCHS) > build/local && \
		xargs -d '\n' -a build/local dvc exp run -S 'seeds=$(SEEDS)' preprocess && \
		$(run_experiment) || exit 1; done
	@{ $(call heading,make $@ DATA=$(DATA) SEEDS=$(SEEDS) EPOCHS=$(EPOCHS)$(if $(NETWORKS), NETWORKS='$(NETWORKS)')); $(LOCAL) table; } > results/local_$(DATA).md
	$(end_results)

BAGS ?= 50 100 200 500
DRAWING ?= natural
# Any blocks of bags; the first is the headline.
MIL ?= mil_gated mil_attention mil_mean mil_max mil_instance_mean mil_instance_max mil_source

# $(call mil,BAGS): train on so many bags, and add the table of the run to results/mil_DATA.md
define mil
	dvc exp run -S data.name=$(DATA) -S 'seeds=$(SEEDS)' -S model=$(firstword $(MIL)) $(call pool,$(MIL)) \
		$(foreach block,$(sort $(MIL)),-S models.$(block).method.train_bags=$(1) -S models.$(block).method.drawing=$(DRAWING)) preprocess
	$(run_experiment)
	@{ python -m thumbnets.report.bag_table; echo; } >> results/mil_$(DATA).md

endef

mil: install ## bags of images under six poolings, 50 to 500 to learn from (DATA, SEEDS, BAGS, DRAWING, MIL): results/mil_DATA.md
	$(begin_results)
	@$(call heading,make mil DATA=$(DATA) SEEDS=$(SEEDS) BAGS='$(BAGS)' DRAWING=$(DRAWING) MIL='$(MIL)') > results/mil_$(DATA).md
	@printf '# Bags of images: $(DATA)\n\n' >> results/mil_$(DATA).md
	$(foreach bags,$(BAGS),$(call mil,$(bags)))
	$(end_results)

GROUP ?= best
RECIPES := python -m thumbnets.report.recipes

# The pools of GROUP, a line each: build/pools
define find_pools
	@mkdir -p build && $(RECIPES) pools $(GROUP) $(DATA) > build/pools
endef

# Metrics do not name their data set: without the old ones, all that is there is of this run.
# $(call run_recipes,PARAMS): run these pools one after the other; build/recipes: their reports
define run_recipes
	@rm -f build/recipes metrics/*.json
	for blocks in $$(cat build/pools); do \
		dvc exp run -S data.name=$(DATA) -S 'seeds=$(SEEDS)' \
			-S "model=$${blocks%%,*}" -S "pool=[$$blocks]" -S evaluation.tta=$(TTA) $(1) preprocess && \
		$(run_experiment) && cat report/report.md >> build/recipes || exit 1; done
endef

recipes: install ## run the recipes of a GROUP for DATA (SEEDS, TTA): results/GROUP_DATA.md
	$(begin_results)
	$(find_pools)
	$(call run_recipes,)
	@{ $(call heading,make recipes GROUP=$(GROUP) DATA=$(DATA) SEEDS=$(SEEDS) TTA=$(TTA)) && \
		$(RECIPES) table $(GROUP) && cat build/recipes; } > build/result
	@mv build/result results/$(GROUP)_$(DATA).md
	$(end_results)

teacher: install ## let the ensemble of the recipes for DATA teach (SEEDS, TTA: views): pretrained/teacher.npz
	$(begin_results)
	$(find_pools)
	@test $$(wc -l < build/pools) -eq 1 || \
		{ echo "the recipes of $(GROUP) are more than one ensemble: choose another GROUP"; exit 1; }
	$(call run_recipes,-S ensemble.teach=$(TTA))
	cp teacher/teacher.npz pretrained/
	$(end_results)

bench: $(PEERS) ## measure beside the usual tools, 2 hours (BENCH=--quick: 10 minutes): benchmarks/results
	python -m benchmarks $(BENCH)

$(PEERS): $(STAMP) benchmarks/requirements.lock
ifeq ($(UV),)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r benchmarks/requirements.lock
else
	@$(UV_INSTALL) --no-deps --require-hashes -r benchmarks/requirements.lock
endif
	@touch $@

lock: ## pin and hash the requirements anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet --group dev \
		pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet --constraint requirements.lock \
		$$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock | sort -u) \
		benchmarks/requirements.txt -o benchmarks/requirements.lock

clean: ## remove what can be made again (keeps data, cache and .venv)
	rm -rf build/lib src/*.egg-info .pytest_cache .ruff_cache .hypothesis logs
	find src stages tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
