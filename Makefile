# leon: one Makefile, everything into build/.   make help
#
#   make CXX=clang++ BUILD=build/clang      another compiler, beside the first
#   make SANITIZE=1 BUILD=build/sanitize    AddressSanitizer + UndefinedBehaviorSanitizer
#   make CUDA=0                             without the CUDA backend; CUDA=1 demands it
#   make TOGETHER=1 BUILD=build/together    a room's files in one run of the compiler, for who builds everything once
#
# `make`, `make install` and `make shared` build the product: with the CUDA backend if nvcc is found (NVCC, the PATH,
# CUDA_PATH). The other targets leave it as it stands, and do without it in a fresh tree: nvcc takes minutes, and
# `make demo` and `make test` need neither it nor a GPU, since the tests execute the kernels' source on the processor
# (tests/cuda_on_cpu). The binary is one either way, and the one with CUDA starts without a driver.
#
# Rooms and their order: docs/design.md. Packages: the setup step below installs what is missing on Debian.

BUILD    ?= build
PREFIX   ?= /usr/local
CXX      := $(if $(filter default,$(origin CXX)),g++,$(CXX))
CXXFLAGS ?= -O2
SANITIZE ?=
TOGETHER ?=
# Under the sanitizers, what is called millions of times is optimised too, which also compiles faster. UNWATCHED is two
# thirds of the time to compile; an access through null or beyond an object is AddressSanitizer's to find as well.
UNWATCHED := -fno-sanitize=null,pointer-overflow,object-size
KERNEL_FLAGS := $(if $(SANITIZE),-O2 $(UNWATCHED),-O3)
# All processors, unless -j says otherwise: the first `make demo` is somebody's first impression.
MAKEFLAGS := $(MAKEFLAGS) $(if $(filter -j% --jobs%,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 1))

PACKAGES := g++ make libcli11-dev nlohmann-json3-dev libstb-dev doctest-dev libpcre2-dev libhnswlib-dev \
    libutf8proc-dev
# The trainer is a folder on top of the rest: without it, leon is built without the commands that train.
TRAINING := $(wildcard training)
ifneq ($(TRAINING),)
PACKAGES += libfreetype-dev fonts-noto-color-emoji unicode-data
endif

# Fused multiply-adds are written by hand in kernels/cpu/simd.h; the compiler may not invent others, so that every
# compiler gives the same bits.
PLAIN := -std=c++20 -Wall -Wextra -Werror -ffp-contract=off -I. -pthread $(CXXFLAGS)
FLAGS := $(PLAIN)
LIBS  := -pthread -lpcre2-8 -lutf8proc
ifneq ($(SANITIZE),)
FLAGS += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LIBS  += -fsanitize=address,undefined
endif

CUDA_PATH ?= /usr/local/cuda
NVCC ?= $(or $(shell command -v nvcc),$(wildcard $(CUDA_PATH)/bin/nvcc))
# 1 or 0, or as this folder was built before: $(BUILD)/.cuda.
PRODUCT_GOALS := $(if $(MAKECMDGOALS),$(filter all install shared gpu-build cuda-%,$(MAKECMDGOALS)),all)
CUDA ?= $(if $(and $(PRODUCT_GOALS),$(NVCC)),1,$(or $(shell cat $(BUILD)/.cuda 2>/dev/null),0))
# Machine code for the generations of A100, H100 and B200, and PTX that later drivers translate. Compressed for size: the
# machine code of five element types and three generations is 13 MB, and a quarter of it when it is packed.
GENERATIONS := -compress-mode=size -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 \
    -gencode arch=compute_100,code=[sm_100,compute_100]
NVCC_FLAGS := -std=c++20 -O3 -I. -Werror all-warnings -Xcompiler -Wall,-Wextra,-Werror $(GENERATIONS)

ARCH := $(shell uname -m)
# Through these goes every weight of a checkpoint.
THROUGHPUT := checkpoint convert narrow
LIBRARY_ROOMS := kernels kernels/reference kernels/cpu kernels/planning runtime tokenizer retrieval metrics weights_converter tasks
CUDA_SOURCES := $(wildcard kernels/cuda/*.cu)
SOURCES  := $(filter-out kernels/cuda_%.cpp,$(wildcard $(addsuffix /*.cpp,$(LIBRARY_ROOMS))))
# With TOGETHER the files of these rooms are one source, $(BUILD)/together/ROOM.cpp, whose headers and templates are compiled
# once: half of the time for a whole build under the sanitizers, but a room's for each change. So names are a room's, not a
# file's. ALONE: with flags or a program of its own.
ROOMS_TOGETHER := $(if $(TOGETHER),runtime tokenizer retrieval metrics weights_converter tasks cli \
    training $(addprefix training/,commands storybook evaluation vqgan reference))
ALONE := tokenizer/image.cpp cli/terminal.cpp cli/training_absent.cpp training/adamw.cpp $(wildcard training/cuda_*.cpp) \
    $(THROUGHPUT:%=weights_converter/%.cpp)
together = $(filter-out $(ALONE),$(wildcard $(1)/*.cpp))
# The objects of sources: of each its own, or its room's.
objects = $(sort $(foreach file,$(1),$(BUILD)/obj/$(or \
    $(and $(filter $(ROOMS_TOGETHER:%=%/),$(dir $(file))),$(filter-out $(ALONE),$(file)),$(dir $(file))together.o),$(file:.cpp=.o))))
OBJECTS  := $(call objects,$(SOURCES))
ifeq ($(CUDA),1)
SOURCES  += kernels/cuda_present.cpp
OBJECTS  += $(BUILD)/obj/kernels/cuda_present.o $(CUDA_SOURCES:%.cu=$(BUILD)/obj/%.o)
LIBS     += -L$(CUDA_PATH)/lib64 -lcudart_static -ldl -lrt
ifeq ($(NVCC),)
$(error CUDA=1 needs nvcc: put it into the PATH, or say NVCC=/path/to/nvcc or CUDA_PATH=/path/to/cuda)
endif
else
SOURCES  += kernels/cuda_absent.cpp
OBJECTS  += $(BUILD)/obj/kernels/cuda_absent.o
endif
TRAINING_OBJECTS := $(call objects,$(filter-out training/cuda_%.cpp,$(wildcard $(addprefix training/,*.cpp reference/*.cpp cpu/*.cpp storybook/*.cpp vqgan/*.cpp evaluation/*.cpp))))
TRAINING_CUDA := $(wildcard training/cuda/*.cu)
ifneq ($(TRAINING),)
TRAINING_OBJECTS += $(if $(filter 1,$(CUDA)),$(BUILD)/obj/training/cuda_present.o $(TRAINING_CUDA:%.cu=$(BUILD)/obj/%.o),$(BUILD)/obj/training/cuda_absent.o)
endif
COMMANDS := $(wildcard cli/*.cpp training/commands/*.cpp)
CLI      := $(call objects,$(if $(TRAINING),$(filter-out cli/training_absent.cpp,$(COMMANDS)),$(COMMANDS)))
TRAINER  := $(if $(TRAINING),$(BUILD)/libleon_training.a)
# Tests together are a namespace a file: what two files call alike stays two things.
COMPUTING_TESTS := tests/fuzz/ tests/test_kernels tests/test_cuda tests/test_reference training/tests/test_grad training/tests/test_vqgan
tests_together = $(if $(TOGETHER),$(filter-out tests/test_main.cpp $(COMPUTING_TESTS:%=%%),$(wildcard $(1)/test_*.cpp)))
test_objects = $(patsubst %.cpp,$(BUILD)/obj/%.o,$(filter-out $(tests_together),$(wildcard $(1)/test_*.cpp)) \
    $(if $(TOGETHER),$(1)/together.cpp))
TRAINING_TESTS := $(call test_objects,training/tests)
TESTS    := $(call test_objects,tests)
# The kernels of kernels/cuda once more, for this processor, and what executes them.
EMULATED := $(CUDA_SOURCES:%.cu=$(BUILD)/obj/emulated/%.o)
TRAINING_EMULATED := $(TRAINING_CUDA:%.cu=$(BUILD)/obj/emulated/%.o)
RACE_TESTS := tests/test_cuda_emulator.cpp $(wildcard tests/cuda_on_cpu/test_*.cpp)
EMULATOR := $(patsubst %.cpp,$(BUILD)/obj/%.o,$(filter-out %/race.cpp %/traffic.cpp $(RACE_TESTS),$(wildcard tests/cuda_on_cpu/*.cpp)))
WATCH    := $(BUILD)/obj/tests/cuda_on_cpu/race.o $(BUILD)/obj/tests/cuda_on_cpu/traffic.o
EXAMPLES := $(patsubst examples/%,$(BUILD)/examples/%,$(basename $(wildcard examples/*.cpp examples/*.c)))
HEADERS  := $(wildcard kernels/*.h runtime/*.h tokenizer/*.h retrieval/*.h metrics/*.h weights_converter/*.h tasks/*.h)
MODEL    := models/storybook.leon
# The shared library's objects are a tree of their own: position independent, and nobody else waits for them.
PIC      := $(OBJECTS:$(BUILD)/obj/%=$(BUILD)/obj/pic/%)
VERSION  := $(shell sed -n 's/^.define LEON_VERSION "\([0-9.]*\)".*/\1/p' include/leon.h)
# Structures of leon.h belong to one version, so programs do too.
SONAME   := libleon.so.$(VERSION)

.PHONY: FORCE all setup demo test fuzz fuzz-programs test-races ladder ladder-tables mutants mutants-self-test bench \
    bench-kernels install shared uninstall examples format format-check lint layers clean help gpu gpu-build \
    cuda-resources cuda-check
.PHONY: run-leon_tests run-leon_tests-kernels run-leon_tests-others run-training_tests run-race_tests \
    run-race_tests-half run-race_tests-rest run-training_race_tests
all: $(BUILD)/leon examples

help:
	@echo 'make            build $(BUILD)/leon and the examples'
	@echo 'make demo       draw, fill, describe and answer with the model in the box -> build/demo/index.html'
	@echo 'make test       build and run every test (no GPU, no network after the set-up)'
	@echo 'make fuzz       arbitrary bytes into everything that reads files, for SECONDS=60 (needs clang++)'
	@echo 'make test-races the CUDA kernels on the emulated GPU, watched for data races'
	@echo 'make mutants    inject faults into the CUDA kernels and see that the tests find each'
	@echo 'make ladder     studies from naive to shipped kernels, with counted traffic (CUDA=1: timed on the GPU)'
	@echo 'make bench      decode, prefill and picture speed against this machine'"'"'s measured roofs'
	@echo 'make bench-kernels  the operations one by one: docs/kernels.md'
	@echo 'make gpu        on a machine with a GPU: every test, sanitizer and benchmark there -> $(BUILD)/gpu_report.md'
	@echo 'make install    leon, its libraries and headers into PREFIX=$(PREFIX)'
	@echo 'make shared     $(BUILD)/libleon.so, the library for C and what can call C (include/leon.h)'
	@echo 'make format     clang-format over the tree        make lint    clang-tidy and the layer check'
	@echo 'make clean      remove build/'
	@echo 'Variables: CXX=clang++  BUILD=build/other  SANITIZE=1  CXXFLAGS=-O2  CUDA=1  TOGETHER=1'

# --- set-up: what is missing is installed with apt-get; elsewhere the list is printed ---------------------------
SETUP := $(BUILD)/.packages
setup: $(SETUP)
$(SETUP): Makefile
	@mkdir -p $(BUILD)
	@./install_packages.sh $(PACKAGES)
	@touch $@

# --- compile ----------------------------------------------------------------------------------------------------
$(foreach tree,obj obj/pic,$(BUILD)/$(tree)/kernels/% $(BUILD)/$(tree)/retrieval/vectors.o): FLAGS += $(KERNEL_FLAGS)
# Rooms that only wait for the others are compiled for size: option parsers and JSON are half of their code.
SMALL_ROOMS := cli tasks weights_converter metrics training/commands
ifeq ($(SANITIZE),)
$(foreach tree,obj obj/pic,$(SMALL_ROOMS:%=$(BUILD)/$(tree)/%/%)): FLAGS += -Os
$(foreach tree,obj obj/pic,$(foreach file,$(THROUGHPUT),$(BUILD)/$(tree)/weights_converter/$(file).o)): FLAGS += $(KERNEL_FLAGS)
else
# Option parsers compile in half of the time without optimisation.
$(BUILD)/obj/cli/% $(BUILD)/obj/training/commands/%: FLAGS += -O0
endif
# Under the sanitizers, tests compile in two fifths of the time without optimisation; those that compute keep it.
$(BUILD)/obj/tests/% $(BUILD)/obj/training/tests/%: FLAGS += $(if $(SANITIZE),-O0,-O1) -DDOCTEST_CONFIG_SUPER_FAST_ASSERTS
$(COMPUTING_TESTS:%=$(BUILD)/obj/%%): FLAGS += -O1
$(BUILD)/obj/training/cpu/% $(BUILD)/obj/training/storybook/% $(BUILD)/obj/training/adamw.o: FLAGS += $(KERNEL_FLAGS) -fno-math-errno
$(BUILD)/obj/training/%: FLAGS += -I/usr/include/freetype2
# One file of kernels/cpu is compiled once per instruction set; the file name says which.
ifeq ($(ARCH),x86_64)
$(BUILD)/obj/kernels/cpu/isa_avx2.o $(BUILD)/obj/pic/kernels/cpu/isa_avx2.o: FLAGS += -mavx2 -mfma -mf16c -mbmi2
$(BUILD)/obj/kernels/cpu/isa_avx512.o $(BUILD)/obj/pic/kernels/cpu/isa_avx512.o: FLAGS += -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mbmi2
$(BUILD)/obj/training/cpu/isa_avx2%.o: FLAGS += -mavx2 -mfma -mf16c -mbmi2
$(BUILD)/obj/training/cpu/isa_avx512%.o: FLAGS += -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mbmi2
$(BUILD)/obj/training/cpu/isa_amx%.o: FLAGS += -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mfma -mf16c -mbmi2 \
    -mamx-tile -mamx-bf16
endif

# stb_image's sums over damaged files overflow; they wrap, rather than mean anything to the compiler. And it copies no bytes
# to nowhere where a PNG's first chunk of data is empty.
$(BUILD)/obj/tokenizer/image.o $(BUILD)/obj/pic/tokenizer/image.o: FLAGS += -fwrapv -fno-sanitize=nonnull-attribute

$(BUILD)/obj/%.o: %.cpp | $(SETUP)
	@mkdir -p $(@D)
	$(CXX) $(FLAGS) -MMD -MP -c $< -o $@
$(BUILD)/obj/pic/%.o: %.cpp | $(SETUP)
	@mkdir -p $(@D)
	$(CXX) $(FLAGS) -fPIC -fvisibility=hidden -MMD -MP -c $< -o $@
# Programs in C, which see leon.h alone: an example, and what holds the header to the C standard.
$(BUILD)/obj/%.o: %.c | $(SETUP)
	@mkdir -p $(@D)
	$(CC) -std=c11 -Wall -Wextra -Wpedantic -Werror -O2 -Iinclude -MMD -MP -c $< -o $@

# A room's files as one source.
$(foreach room,$(ROOMS_TOGETHER),$(eval $(BUILD)/together/$(room).cpp: $(call together,$(room))))
$(foreach room,tests training/tests,$(eval $(BUILD)/together/$(room).cpp: $(call tests_together,$(room))))
$(BUILD)/together/tests.cpp $(BUILD)/together/training/tests.cpp:
	@mkdir -p $(@D)
	@{ grep -h '^#include' $^ | sort -u | grep -v '"\(training/\)\?tests/'; grep -h '^#include "\(training/\)\?tests/' $^ | sort -u; \
	    for file in $^; do name=$$(basename $$file .cpp); \
	    printf 'namespace %s {\nnamespace leon { using namespace ::leon; }\n#include "%s"\n}\n' $$name $$file; done; } >$@
$(BUILD)/together/%.cpp:
	@mkdir -p $(@D)
	@printf '#include "%s"\n' $^ >$@
# g++ takes what is not in the file that it was given for a header, where an anonymous namespace would be a mistake.
$(BUILD)/obj/%/together.o: $(BUILD)/together/%.cpp | $(SETUP)
	@mkdir -p $(@D)
	$(CXX) $(FLAGS) $(if $(findstring clang,$(CXX)),,-Wno-subobject-linkage) -MMD -MP -c $< -o $@
# What ptxas says of each kernel is kept beside the object, for make cuda-resources.
KEEP_LOG = $(NVCC) $(NVCC_FLAGS) -Xptxas -v -MMD -MP -c $< -o $@ 2>$@.log || { cat $@.log >&2; rm -f $@; exit 1; }
$(BUILD)/obj/kernels/cuda/%.o: kernels/cuda/%.cu
	@mkdir -p $(@D)
	$(KEEP_LOG)
$(BUILD)/obj/training/cuda/%.o: training/cuda/%.cu
	@mkdir -p $(@D)
	$(KEEP_LOG)
$(BUILD)/obj/pic/kernels/cuda/%.o: kernels/cuda/%.cu
	@mkdir -p $(@D)
	$(NVCC) $(NVCC_FLAGS) -Xcompiler -fPIC,-fvisibility=hidden -MMD -MP -c $< -o $@

# The emulator itself stays free of sanitizers, which cannot follow its stack switches; the kernels get them.
# -Wno-unknown-pragmas: g++ does not know #pragma unroll. Kernels look at the same bytes as different types.
# use-after-return: AddressSanitizer would map a second stack for every CUDA thread that starts.
# clang says of loops that it does not unroll, though asked to: nothing that matters here.
# FMA: an instruction for fmaf() instead of a call, with the same result.
EMULATED_FLAGS = -Wno-unknown-pragmas $(if $(findstring clang,$(CXX)),-Wno-pass-failed) -fno-strict-aliasing -Itests $(FMA) $(if $(SANITIZE),$(NO_SECOND_STACK) $(UNWATCHED))
FMA := $(if $(shell grep -m1 -o '^flags.* fma ' /proc/cpuinfo 2>/dev/null),-mfma)
NO_SECOND_STACK := $(if $(findstring clang,$(CXX)),-fsanitize-address-use-after-return=never,--param asan-use-after-return=0)
$(EMULATOR): FLAGS := $(PLAIN) -Itests
$(BUILD)/obj/emulated/%.o: %.cu | $(SETUP)
	@mkdir -p $(@D)
	$(CXX) $(FLAGS) $(EMULATED_FLAGS) -x c++ -MMD -MP -c $< -o $@
$(BUILD)/obj/tests/test_cuda_%.o: FLAGS += $(EMULATED_FLAGS)

# The kernels a third time, every access to memory reported to tests/cuda_on_cpu/race.cpp instead of libtsan. Copies of 16
# bytes and more become calls, which are renamed so that only the kernels' are seen.
RACE_FLAGS = $(PLAIN) $(EMULATED_FLAGS) -O1 -g -fsanitize=thread $(if $(findstring clang,$(CXX)),,-Wno-class-memaccess)
RACES := $(CUDA_SOURCES:%.cu=$(BUILD)/obj/races/%.o) $(RACE_TESTS:%.cpp=$(BUILD)/obj/races/%.o)
RACE_RENAMES := $(foreach f,memcpy memmove memset,--redefine-sym $f=leon_race_$f)
$(BUILD)/obj/races/%.o: %.cu | $(SETUP)
	@mkdir -p $(@D)
	$(CXX) $(RACE_FLAGS) -x c++ -MMD -MP -c $< -o $@
	objcopy $(RACE_RENAMES) $@
$(BUILD)/obj/races/%.o: %.cpp | $(SETUP)
	@mkdir -p $(@D)
	$(CXX) $(RACE_FLAGS) -MMD -MP -c $< -o $@
	objcopy $(RACE_RENAMES) $@
$(WATCH): FLAGS := $(PLAIN)
RACE_PROGRAM := $(RACES) $(WATCH) $(EMULATOR) \
    $(patsubst %.cpp,$(BUILD)/obj/%.o,tests/test_main.cpp tests/test_cuda_gemm.cpp $(wildcard tests/test_kernels*.cpp)) $(BUILD)/libleon.a
$(BUILD)/race_tests: $(RACE_PROGRAM)
	$(CXX) $^ -o $@ $(LIBS)

# The trainer's kernels alone; those of kernels/cuda are watched above.
$(BUILD)/obj/training/tests/watched_products.o: FLAGS += $(EMULATED_FLAGS)
TRAINING_RACES := $(TRAINING_CUDA:%.cu=$(BUILD)/obj/races/%.o)
$(BUILD)/training_race_tests: $(TRAINING_RACES) $(WATCH) $(EMULATED) $(EMULATOR) $(BUILD)/obj/tests/test_main.o \
    $(patsubst %,$(BUILD)/obj/training/tests/%.o,test_grad_kernels test_adamw watched_products) $(TRAINER) $(BUILD)/libleon.a
	$(CXX) $^ -o $@ $(LIBS) -lfreetype

# Studies, from a naive kernel to the one that ships: kernels/ladder/ladder.h. Instrumented like the kernels above, since
# their figure is counted traffic; with CUDA=1, timed on the GPU.
LADDERS := $(patsubst kernels/ladder/%.cu,$(BUILD)/ladder/%,$(sort $(wildcard kernels/ladder/*.cu)))
ifeq ($(CUDA),1)
$(BUILD)/obj/kernels/ladder/%.o: kernels/ladder/%.cu
	@mkdir -p $(@D)
	$(NVCC) $(NVCC_FLAGS) -MMD -MP -c $< -o $@
$(BUILD)/ladder/%: $(BUILD)/obj/kernels/ladder/%.o $(BUILD)/libleon.a
	@mkdir -p $(@D)
	$(CXX) $^ -o $@ $(LIBS)
else
$(BUILD)/ladder/%: $(BUILD)/obj/races/kernels/ladder/%.o $(CUDA_SOURCES:%.cu=$(BUILD)/obj/races/%.o) $(WATCH) $(EMULATOR) \
    $(BUILD)/libleon.a
	@mkdir -p $(@D)
	$(CXX) $^ -o $@ $(LIBS)
endif
.PRECIOUS: $(BUILD)/obj/races/kernels/ladder/%.o $(BUILD)/obj/kernels/ladder/%.o

# Changes when CUDA does, so that the archive follows.
$(BUILD)/.cuda: FORCE
	@mkdir -p $(BUILD)
	@echo '$(CUDA)' | cmp -s - $@ || echo '$(CUDA)' >$@
FORCE:

$(BUILD)/libleon.a: $(OBJECTS) $(BUILD)/.cuda
	@rm -f $@
	ar rcs $@ $(filter %.o,$^)
# Nothing is visible but what leon.h declares (tasks/c_api.map), neither leon's own names nor those of the standard
# library's templates.
shared: $(BUILD)/libleon.so
$(BUILD)/libleon.so: $(PIC) tasks/c_api.map $(BUILD)/.cuda
	$(CXX) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=tasks/c_api.map $(if $(SANITIZE),,-Wl,-z,defs -s) \
	    $(filter %.o,$^) -o $@ $(LIBS)
# Without symbols: they are a tenth of it.
$(BUILD)/libleon_training.a: $(TRAINING_OBJECTS) $(BUILD)/.cuda
	@rm -f $@
	ar rcs $@ $(filter %.o,$^)
$(BUILD)/leon: $(CLI) $(TRAINER) $(BUILD)/libleon.a
	$(CXX) $^ -o $@ $(LIBS) $(if $(TRAINER),-lfreetype) $(if $(SANITIZE),,-s)
TRAINING_PROGRAM := $(TRAINING_TESTS) $(BUILD)/obj/tests/test_main.o $(BUILD)/obj/cli/terminal.o $(TRAINING_EMULATED) $(EMULATED) \
    $(EMULATOR) $(TRAINER) $(BUILD)/libleon.a
$(BUILD)/training_tests: $(TRAINING_PROGRAM)
	$(CXX) $^ -o $@ $(LIBS) -lfreetype
TWIN := $(BUILD)/obj/tests/twin.o $(BUILD)/obj/tests/twin_files.o
TEST_PROGRAM := $(TESTS) $(TWIN) $(BUILD)/obj/tests/c_header.o $(BUILD)/obj/cli/terminal.o $(EMULATED) $(EMULATOR) $(BUILD)/libleon.a
$(BUILD)/leon_tests: $(TEST_PROGRAM)
	$(CXX) $^ -o $@ $(LIBS)
$(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(BUILD)/libleon.a
	@mkdir -p $(@D)
	$(CXX) $^ -o $@ $(LIBS)
.PRECIOUS: $(BUILD)/obj/examples/%.o
examples: $(EXAMPLES)

# --- use --------------------------------------------------------------------------------------------------------
demo: $(BUILD)/leon
	$(BUILD)/leon demo -m $(MODEL) -o build/demo

# The doctest programs, side by side, and the kernels' cases beside the others; LEON_BINARY tells the command-line tests what
# to run. With TEST_ARGS each program runs once, with these.
test: $(if $(TEST_ARGS),run-leon_tests,run-leon_tests-kernels run-leon_tests-others) $(if $(TRAINING),run-training_tests)
KERNEL_CASES := kernels:*,cuda*
run-leon_tests-kernels: CASES := '-tc=$(KERNEL_CASES)'
run-leon_tests-others: CASES := '-tce=$(KERNEL_CASES)'
run-leon_tests run-leon_tests-kernels run-leon_tests-others: $(BUILD)/leon_tests $(BUILD)/leon examples
	LEON_BINARY=$(BUILD)/leon $(BUILD)/leon_tests $(CASES) $(TEST_ARGS)
run-training_tests: $(BUILD)/training_tests $(BUILD)/leon
	LEON_BINARY=$(BUILD)/leon $(BUILD)/training_tests $(TEST_ARGS)
# libFuzzer on whatever parses input: tests/fuzz. The build is that of the sanitizers, which may be one that is there
# already (FUZZ_BUILD=build/sanitize); under clang, the rooms that read files tell the fuzzer where an input has been.
SECONDS ?= 60
FUZZ_BUILD ?= $(BUILD)/fuzz
FUZZERS := $(patsubst tests/fuzz/%.cpp,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.cpp))
READING_ROOMS := runtime tokenizer weights_converter
FUZZED_ROOMS := kernels kernels/reference $(READING_ROOMS)
FUZZED := $(filter $(addsuffix /%,$(FUZZED_ROOMS)) kernels/cpu/threads.cpp,$(filter-out kernels/cpu/%,$(SOURCES)) kernels/cpu/threads.cpp)
ifneq ($(and $(SANITIZE),$(findstring clang,$(CXX))),)
$(READING_ROOMS:%=$(BUILD)/obj/%/%) $(BUILD)/obj/tests/fuzz/%: FLAGS += -fsanitize=fuzzer-no-link
endif
fuzz:
	@$(MAKE) --no-print-directory CUDA=0 SANITIZE=1 CXX=clang++ CXXFLAGS=-O1 BUILD=$(FUZZ_BUILD) fuzz-programs
	tests/fuzz.sh $(SECONDS) $(FUZZERS:$(BUILD)/%=$(FUZZ_BUILD)/%)
fuzz-programs: $(FUZZERS)
$(BUILD)/libleon_read.a: $(FUZZED:%.cpp=$(BUILD)/obj/%.o)
	@rm -f $@
	ar rcs $@ $^
# A room as one object wants the others' too.
$(BUILD)/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/$(if $(TOGETHER),libleon.a,libleon_read.a)
	$(CXX) $^ -o $@ $(LIBS) -fsanitize=fuzzer
.PRECIOUS: $(BUILD)/obj/tests/fuzz/%.o
# Every kernel case on the emulated GPU, watched for data races; the programs side by side, since each is one thread, and the
# longer one in halves. Left out is what launches the same again to compare bits.
test-races: $(if $(TEST_ARGS),run-race_tests,run-race_tests-half run-race_tests-rest) $(if $(TRAINING),run-training_race_tests)
SAME_AGAIN := *does not depend on the rows beside it*
RACE_HALF := kernels: the plan*,kernels: attention*,cuda*
run-race_tests: CASES := '-tce=$(SAME_AGAIN)'
run-race_tests-half: CASES := '-tc=$(RACE_HALF)' '-tce=$(SAME_AGAIN)'
run-race_tests-rest: CASES := '-tce=$(RACE_HALF),$(SAME_AGAIN)'
run-race_tests run-race_tests-half run-race_tests-rest: $(BUILD)/race_tests
	LEON_TEST_BACKEND=cuda EMU_SCHED=random:1 $(BUILD)/race_tests $(CASES) $(TEST_ARGS)
run-training_race_tests: $(BUILD)/training_race_tests
	LEON_TEST_BACKEND=cuda EMU_SCHED=random:1 $(BUILD)/training_race_tests $(TEST_ARGS)
# Every study: fails if a rung is wrong, or not better as it claims.
ladder: $(LADDERS)
	@for study in $(LADDERS); do $$study || exit 1; done
# What they print, into the page that tells about them.
ladder-tables: $(LADDERS)
	tests/ladder_tables.sh docs/kernels.md $(LADDERS)
# Faults injected into the kernels, each of which the tests must see: tests/mutants.sh. MUTANTS=tests/mutants/norms.txt
MUTANTS ?= $(wildcard tests/mutants/*.txt training/tests/mutants.txt)
mutants mutants-self-test: export BUILD := $(BUILD)
mutants mutants-self-test: export COMPILE = $(CXX) $(FLAGS) $(EMULATED_FLAGS) -x c++ -c
mutants mutants-self-test: export RACE_COMPILE = $(CXX) $(RACE_FLAGS) -x c++ -c
mutants mutants-self-test: export RACE_RENAMES := $(RACE_RENAMES)
mutants mutants-self-test: export LINK = $(CXX)
mutants mutants-self-test: export LINK_END = $(LIBS) $(if $(TRAINER),-lfreetype)
mutants mutants-self-test: export OBJECTS = $(TEST_PROGRAM)
mutants mutants-self-test: export RACE_OBJECTS = $(RACE_PROGRAM)
mutants mutants-self-test: export TRAINER_OBJECTS = $(TRAINING_PROGRAM)
mutants: $(BUILD)/leon_tests $(BUILD)/race_tests $(if $(TRAINING),$(BUILD)/training_tests)
	tests/mutants.sh $(MUTANTS)
mutants-self-test: $(BUILD)/leon_tests $(BUILD)/race_tests
	tests/mutants.sh --self-test
bench: $(BUILD)/leon
	$(BUILD)/leon bench
# Each operation of the CPU backend against the roofs: docs/kernels.md. BENCH_ARGS="cpu-avx2 -g conv"
bench-kernels: $(BUILD)/bench_kernels
	$(BUILD)/bench_kernels $(BENCH_ARGS)
$(BUILD)/bench_kernels: $(BUILD)/obj/tests/bench_kernels.o $(BUILD)/libleon.a
	$(CXX) $^ -o $@ $(LIBS)
# Recall and speed of search in made-up memory banks: docs/retrieval.md.
$(BUILD)/bench_retrieval: $(BUILD)/obj/tests/bench_retrieval.o $(BUILD)/libleon.a
	$(CXX) $^ -o $@ $(LIBS)

# Twins of published checkpoints, as large as they are: tests/twin.h.
$(BUILD)/make_twin: $(BUILD)/obj/tests/make_twin.o $(TWIN) $(BUILD)/libleon.a
	$(CXX) $^ -o $@ $(LIBS)

# Programs against the installed library, in C or what can call C (leon.h), by the shared library or the static one:
#   cc program.c $(pkg-config --cflags --libs leon)
#   cc program.c $(pkg-config --cflags --static --libs leon | sed s/-lleon/-l:libleon.a/)
# and in C++, which is in the static library alone:
#   g++ -std=c++20 -I PREFIX/include/leon program.cpp -l:libleon.a -lpcre2-8 -lutf8proc -pthread
# and, if it was built with CUDA, -L$(CUDA_PATH)/lib64 -lcudart_static -ldl -lrt
INSTALLED := $(DESTDIR)$(PREFIX)
install: $(BUILD)/leon $(BUILD)/libleon.so
	install -D -m 755 $(BUILD)/leon $(INSTALLED)/bin/leon
	install -D -m 644 $(BUILD)/libleon.a $(INSTALLED)/lib/libleon.a
	install -D -m 644 $(BUILD)/libleon.so $(INSTALLED)/lib/$(SONAME)
	ln -sf $(SONAME) $(INSTALLED)/lib/libleon.so
	install -d $(INSTALLED)/lib/pkgconfig
	printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' 'Name: leon' \
	    'Description: text and picture token models' 'Version: $(VERSION)' 'Cflags: -I$${includedir}' \
	    'Libs: -L$${libdir} -lleon' 'Libs.private: $(LIBS) -lstdc++ -lm' >$(INSTALLED)/lib/pkgconfig/leon.pc
	install -D -m 644 $(MODEL) $(INSTALLED)/share/leon/storybook.leon
	install -D -m 644 include/leon.h $(INSTALLED)/include/leon.h
	for header in $(HEADERS); do install -D -m 644 $$header $(INSTALLED)/include/leon/$$header; done
uninstall:
	rm -f $(INSTALLED)/bin/leon $(INSTALLED)/lib/libleon.* $(INSTALLED)/lib/pkgconfig/leon.pc $(INSTALLED)/include/leon.h
	rm -rf $(INSTALLED)/share/leon $(INSTALLED)/include/leon

# --- the CUDA backend -------------------------------------------------------------------------------------------
CUDA_OBJECTS := $(CUDA_SOURCES:%.cu=$(BUILD)/obj/%.o)
CUDA_LOGS := $(CUDA_OBJECTS:%=%.log)
TRAINING_CUDA_OBJECTS := $(TRAINING_CUDA:%.cu=$(BUILD)/obj/%.o)
TRAINING_CUDA_LOGS := $(TRAINING_CUDA_OBJECTS:%=%.log)
# Registers and spills of every kernel into docs/kernels.md and docs/training_kernels.md; and whether the tables still hold
# and the machine code is what the performance model takes it for.
cuda-resources: $(CUDA_OBJECTS) $(TRAINING_CUDA_OBJECTS)
	tests/check_ptxas.sh --write docs/kernels.md $(CUDA_LOGS)
	$(if $(TRAINING),tests/check_ptxas.sh --write docs/training_kernels.md $(TRAINING_CUDA_LOGS))
cuda-check: $(CUDA_OBJECTS) $(TRAINING_CUDA_OBJECTS) $(BUILD)/leon
	tests/check_ptxas.sh --check docs/kernels.md $(CUDA_LOGS)
	$(if $(TRAINING),tests/check_ptxas.sh --check docs/training_kernels.md $(TRAINING_CUDA_LOGS))
	tests/check_sass.sh $(BUILD)/obj/kernels/cuda
	tests/check_binary.sh $(BUILD)/leon

# The one command for a machine with a GPU -> $(BUILD)/gpu_report.md. `make gpu-build` compiles what it needs.
gpu:
	@tests/gpu.sh --check
	$(MAKE) gpu-build CUDA=1
	tests/gpu.sh $(BUILD)
gpu-build: $(BUILD)/leon $(BUILD)/leon_tests $(if $(TRAINING),$(BUILD)/training_tests) $(BUILD)/ptx_tests $(BUILD)/bench_cuda $(LADDERS)
# tests/test_cuda_emulator.cpp once more, for the hardware itself; and the kernels one by one against cuBLAS.
NATIVE = $(NVCC) -x cu -std=c++20 -O2 -I. -Itests $(GENERATIONS) -MMD -MP -c $< -o $@
$(BUILD)/obj/native/%.o: %.cpp
	@mkdir -p $(@D)
	$(NATIVE)
$(BUILD)/obj/native/%.o: %.cu
	@mkdir -p $(@D)
	$(NATIVE)
$(BUILD)/ptx_tests: $(BUILD)/obj/native/tests/test_cuda_emulator.o $(BUILD)/obj/tests/test_main.o $(BUILD)/libleon.a
	$(CXX) $^ -o $@ $(LIBS)
$(BUILD)/bench_cuda: $(BUILD)/obj/native/tests/bench_cuda.o $(BUILD)/libleon.a
	$(CXX) $^ -o $@ $(LIBS)

# --- care -------------------------------------------------------------------------------------------------------
FORMATTED = $(shell git ls-files '*.c' '*.cpp' '*.h' '*.cu')
format:
	@./install_packages.sh clang-format
	clang-format -i $(FORMATTED)
format-check:
	clang-format --dry-run --Werror $(FORMATTED)
layers:
	tests/check_layers.sh
lint: layers | $(SETUP)
	@./install_packages.sh clang-tidy
	printf '%s\n' $(filter-out kernels/cpu/isa_%,$(SOURCES)) $(wildcard cli/*.cpp) | \
	    xargs -n 1 -P $$(nproc) sh -c 'clang-tidy --quiet $$0 -- -std=c++20 -I.'
clean:
	rm -rf build $(BUILD)

-include $(OBJECTS:.o=.d) $(TRAINING_OBJECTS:.o=.d) $(TRAINING_TESTS:.o=.d) $(PIC:.o=.d) $(BUILD)/obj/tests/c_header.d $(CLI:.o=.d) $(TESTS:.o=.d) $(EMULATED:.o=.d) $(TRAINING_EMULATED:.o=.d) $(EMULATOR:.o=.d) $(WATCH:.o=.d) $(RACES:.o=.d) $(TRAINING_RACES:.o=.d) $(BUILD)/obj/training/tests/watched_products.d $(LADDERS:$(BUILD)/ladder/%=$(BUILD)/obj/races/kernels/ladder/%.d) $(BUILD)/obj/tests/bench_kernels.d $(CUDA_OBJECTS:.o=.d) $(wildcard $(BUILD)/obj/native/tests/*.d) $(EXAMPLES:$(BUILD)/examples/%=$(BUILD)/obj/examples/%.d)
