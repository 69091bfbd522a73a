# Saves typing: every target runs commands that work by hand in the activated .venv just as well.
.DEFAULT_GOAL := help
.PHONY: help repro status test test-pipelines check-release test-avx2 serve lint transcripts site page page-packages check-pages lock \
	release sbom audit licenses
# The newest Python that fits. A shim of pyenv may be on the path without its Python.
PYTHON ?= $(shell for version in 3.13 3.12 3.11; do \
	python$$version -c "import ensurepip, venv" 2>/dev/null && echo python$$version && break; done)
PIP = .venv/bin/python -m pip install --disable-pip-version-check --require-hashes
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

repro: .venv/pipeline  ## Build every dataset listed in params.yaml, from raw data to measured model
	dvc repro
	@dvc status $(STAGES)
	@python -m tools.report
	@echo "$$NEXT"

status: .venv/pipeline  ## Show which stages have changed data, code or parameters
	dvc repro source
	dvc status $(STAGES)

# All but `source`, which DVC calls "always changed".
STAGES = fetch validate balance train export evaluate

define NEXT

Three things to do next, after `. .venv/bin/activate`:
  make serve
      serves the released models on http://127.0.0.1:8000, with a page for photos and the camera;
      with MODEL_PATH=models/sample/model.onnx before it, it serves the model just built
  edit params/sample.yaml; dvc repro; dvc metrics diff
      rebuilds what depends on the changed parameters and compares the metrics
  python -m recognizer PHOTO
      recognizes the faces in a photo of yours; README.md says how to train on your own faces
endef
export NEXT

test: .venv/development  ## Run the tests, but those of test-pipelines
	pytest -n 2 --ignore=tests/pipeline --ignore=tests/experiments

test-pipelines: .venv/development  ## Run pipelines, experiments and the commands of the pages
	pytest -n 2 tests/pipeline tests/experiments

check-release: .venv/development  ## Check that the committed results belong to the committed code
	pytest tests/pipeline/check_release.py

# The variables limit TensorFlow, NumPy and SciPy; onnxruntime and OpenCV still use all instructions.
# The other tests of the stages read and write files: they compute nothing that depends on it.
# bfloat16 is left out: on a processor that has it, TensorFlow calls oneDNN, which has no AVX2 kernel.
test-avx2: .venv/development  ## Run the tests of training as on a processor without AVX-512
	ONEDNN_MAX_CPU_ISA=AVX2 NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR" \
		OPENBLAS_CORETYPE=Haswell pytest -n 2 -k "not bfloat16" \
		tests/pipeline/test_pipeline.py tests/stages/balancing tests/stages/evaluation \
		tests/stages/onnx_graph tests/stages/training tests/stages/dataset/test_sample_faces.py \
		tests/stages/test_balance.py tests/stages/test_train.py tests/stages/test_export.py \
		tests/stages/test_evaluate.py

serve: .venv/serving  ## Serve the released models on http://127.0.0.1:8000
	python -m api

lint: .venv/development  ## Check style, formatting and types
	ruff check .
	ruff format --check .
	mypy

transcripts: .venv/development  ## Record what the commands of README and the guides print
	python -m docs.record_transcripts

site: .venv/development  ## Build the guides and the API reference as a site in build/site
	NO_MKDOCS_2_WARNING=1 mkdocs build

page-packages: api/static/onnxruntime/ort.wasm.bundle.min.mjs  ## Fetch onnxruntime-web, for predictions on the visitor's device

# npm checks each package against the digest in the lock file. The server offers "on this device" if
# these files exist.
api/static/onnxruntime/ort.wasm.bundle.min.mjs: page/package-lock.json
	@command -v npm >/dev/null || { echo "error: npm not found; install Node.js"; exit 1; }
	npm ci --prefix page --ignore-scripts --no-audit --no-fund
	mkdir -p api/static/onnxruntime
	cd page/node_modules/onnxruntime-web/dist && cp ort-wasm-simd-threaded.wasm ort.wasm.bundle.min.mjs \
		$(CURDIR)/api/static/onnxruntime/
	cp page/LICENSE-onnxruntime.txt api/static/onnxruntime/
	touch $@  # cp may give the time of the package

page: .venv/serving page-packages  ## Build the page as static files, for any web server, in build/page
	python -m tools.static_page build/page

check-pages: .venv/development  ## Check that the benchmark pages are about the released models
	python -m benchmarks.check_pages

release: .venv/development  ## Tag a release of code and models: make release VERSION=1.2.0
	python -m tools.release $(VERSION)
	@$(MAKE) --no-print-directory sbom

sbom: .venv/development  ## Write a software bill of materials (CycloneDX) per locked file to build/sbom
	@mkdir -p build/sbom
	@for room in serving pipeline tracking development; do PYTHONWARNINGS=ignore \
		cyclonedx-py requirements requirements/$$room.txt --pyproject pyproject.toml \
		--output-reproducible --of JSON -o build/sbom/$$room.cdx.json || exit 1; done
	@ls build/sbom/*.cdx.json

audit: .venv/development  ## Compare the locked dependencies with the published advisories
	python -m tools.audit $(AUDIT)

# The server's dependencies are in the container: each must have a known licence, and none the GPL.
licenses: .venv/development  ## Write the licences of all dependencies to build/licenses.md
	@mkdir -p build
	@pip-licenses --from=mixed --order=license --format=markdown --output-file=build/licenses.md
	@pip-licenses --from=mixed --order=license --format=plain --partial-match \
		--fail-on='UNKNOWN;GPL;General Public' --packages \
		$$(sed -n 's/^\([a-z0-9][a-z0-9._-]*\)==.*/\1/p' requirements/serving.txt)

lock: .venv/development  ## Resolve requirements/*.in anew into the locked files
	cd requirements && uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --strip-extras development.in -o development.txt
	cd requirements && for room in pipeline serving tracking installer; do \
		uv pip compile -q --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --strip-extras -c development.txt $$room.in -o $$room.txt; done
	cd requirements && uv pip compile -q --upgrade --universal --python-version 3.10 \
		--no-python-downloads --generate-hashes --no-emit-index-url --no-emit-find-links \
		--strip-extras package.in -o package.txt

# The empty file .venv/ROOM is as new as the last installation of requirements/ROOM.txt.
# uv takes a fraction of pip's time. It does not read pip's configuration, though: where that alone
# names the package index to use, pip does the work.
.venv/%: requirements/%.txt requirements/installer.txt
	@test -x .venv/bin/python || $(PYTHON) -c "import ensurepip, venv" 2>/dev/null || { echo "error: no Python 3.11, 3.12 or 3.13 with venv found; install one (Debian: python3-venv), or name it: make PYTHON=/path/to/python3.13"; exit 1; }
	@echo "Installing $< into .venv: once, and again when the file changes"
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@$(PIP) -q -r requirements/installer.txt && uv pip install --python .venv/bin/python --require-hashes -r $< \
		|| { echo "uv could not install; trying pip"; $(PIP) -r $<; }
	@touch $@
