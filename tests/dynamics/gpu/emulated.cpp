// ensemble.cu on a CPU, and as much of NVRTC and of the CUDA driver as cuda.py calls: for tests without a device.
//
// A thread of a block is a fibre. It runs until it has to exchange something with others, and goes on when all 32 of
// its warp have come to the same exchange of the same line; where they do not, which a device may or may not forgive,
// the launch fails. Blocks run one after the other, on plain memory.

#undef _FORTIFY_SOURCE  // fibres jump between stacks
#include <setjmp.h>
#include <ucontext.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#define __global__
#define __device__ static
#define __shared__ static
#define __launch_bounds__(...)

namespace {

struct Index {
  unsigned x, y, z;
} threadIdx, blockIdx, blockDim;

enum State { RUNNING, EXCHANGES, AT_BARRIER, DONE };
enum Kind { FROM_LANE, ACROSS, BALLOT };

struct Fibre {
  ucontext_t start;
  jmp_buf here;
  std::vector<char> stack;
  State state;
  bool begun;
  int kind, line, number, width;
  unsigned mask;
  unsigned long long given, found;
};

std::vector<Fibre> fibres;
Fibre *self = nullptr;
jmp_buf scheduler;
void (*body)(void **) = nullptr;
void **arguments = nullptr;
std::string trouble;

__attribute__((noinline)) void pause_as(State state) {
  self->state = state;
  if (!_setjmp(self->here)) _longjmp(scheduler, 1);
}

void enter() {
  body(arguments);
  self->state = DONE;
  _longjmp(scheduler, 1);
}

__attribute__((noinline)) void resume(Fibre &fibre, unsigned number) {
  self = &fibre;
  threadIdx = {number, 0, 0};
  fibre.state = RUNNING;
  if (_setjmp(scheduler)) return;
  if (fibre.begun) _longjmp(fibre.here, 1);
  fibre.begun = true;
  setcontext(&fibre.start);
}

// what every lane of a warp gets from the others; false where they are not all at one exchange
bool exchange(Fibre *warp) {
  for (int lane = 0; lane < 32; lane++) {
    const Fibre &one = warp[lane];
    if (one.state != EXCHANGES || one.mask != 0xffffffffu || one.kind != warp->kind || one.line != warp->line ||
        one.width != warp->width) {
      char text[200];
      std::snprintf(text, sizeof text, "lane %d is at line %d (%d), lane 0 at line %d (%d)", lane, one.line, one.state,
                    warp->line, warp->state);
      trouble = text;
      return false;
    }
  }
  unsigned long long votes = 0;
  for (int lane = 0; lane < 32; lane++) votes |= (unsigned long long)(warp[lane].given != 0) << lane;
  for (int lane = 0; lane < 32; lane++) {
    Fibre &one = warp[lane];
    const int first = one.kind == BALLOT ? 0 : lane / one.width * one.width;
    int from = one.kind == ACROSS ? lane ^ one.number : first + one.number % one.width;
    if (from >= first + one.width) from = lane;
    one.found = one.kind == BALLOT ? votes : warp[from].given;
  }
  for (int lane = 0; lane < 32; lane++) warp[lane].state = RUNNING;
  return true;
}

bool run_block(unsigned threads) {
  fibres.resize(threads);
  for (Fibre &fibre : fibres) {
    fibre.stack.resize(1 << 17);
    getcontext(&fibre.start);
    fibre.start.uc_stack.ss_sp = fibre.stack.data();
    fibre.start.uc_stack.ss_size = fibre.stack.size();
    fibre.start.uc_link = nullptr;
    makecontext(&fibre.start, enter, 0);
    fibre.begun = false;
    fibre.state = RUNNING;
  }
  for (;;) {
    unsigned ended = 0, waiting = 0;
    for (unsigned i = 0; i < threads; i++) {
      if (fibres[i].state == RUNNING) resume(fibres[i], i);
      ended += fibres[i].state == DONE;
      waiting += fibres[i].state == AT_BARRIER;
    }
    if (ended == threads) return true;
    if (waiting == threads) {
      for (Fibre &fibre : fibres) fibre.state = RUNNING;
      continue;
    }
    for (unsigned first = 0; first < threads; first += 32) {
      const State state = fibres[first].state;
      bool alike = true;
      for (int lane = 1; lane < 32; lane++) alike = alike && fibres[first + lane].state == state;
      if (alike && state != EXCHANGES) continue;  // over, or waiting for other warps
      if (!exchange(&fibres[first])) return false;
    }
  }
}

template <class T> T exchanged(Kind kind, unsigned mask, T value, int number, int width, int line) {
  self->kind = kind;
  self->line = line;
  self->number = number;
  self->width = width;
  self->mask = mask;
  self->given = 0;
  std::memcpy(&self->given, &value, sizeof value);
  pause_as(EXCHANGES);
  T found;
  std::memcpy(&found, &self->found, sizeof found);
  return found;
}

template <class T> T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32, int line = __builtin_LINE()) {
  return exchanged(ACROSS, mask, v, bits, width, line);
}
template <class T> T __shfl_sync(unsigned mask, T v, int lane, int width = 32, int line = __builtin_LINE()) {
  return exchanged(FROM_LANE, mask, v, lane, width, line);
}
unsigned __ballot_sync(unsigned mask, int v, int line = __builtin_LINE()) {
  return unsigned(exchanged(BALLOT, mask, (unsigned long long)(v != 0), 0, 32, line));
}
int __any_sync(unsigned mask, int v, int line = __builtin_LINE()) { return __ballot_sync(mask, v, line) != 0; }
void __syncthreads() { pause_as(AT_BARRIER); }

unsigned atomicAdd(unsigned *at, unsigned plus) {
  const unsigned before = *at;
  *at += plus;
  return before;
}
float __fdividef(float a, float b) { return a / b; }
float __int_as_float(int bits) {
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}

}  // namespace

#include SOURCE

namespace {

struct Function {
  const char *name;
  void (*body)(void **);
};
Function functions[] = {
    {"ensemble", [](void **p) { ensemble(*(const Run *)p[0]); }},
};
const char CODE[] = "emulated";
double clock_ms() {
  using namespace std::chrono;
  return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

}  // namespace

extern "C" {

int nvrtcVersion(int *major, int *minor) { return *major = 0, *minor = 0; }
int nvrtcCreateProgram(void **program, const char *source, const char *, int, const char **, const char **) {
  *program = new std::string(source);
  return 0;
}
int nvrtcCompileProgram(void *program, int, const char **) {
  return ((std::string *)program)->find("#error on purpose") == std::string::npos ? 0 : 6;
}
int nvrtcGetProgramLogSize(void *, size_t *size) { return *size = sizeof CODE, 0; }
int nvrtcGetProgramLog(void *, char *log) { return std::strcpy(log, CODE), 0; }
int nvrtcGetCUBINSize(void *, size_t *size) { return *size = sizeof CODE, 0; }
int nvrtcGetCUBIN(void *, char *code) { return std::memcpy(code, CODE, sizeof CODE), 0; }
int nvrtcDestroyProgram(void **program) {
  delete (std::string *)*program;
  return *program = nullptr, 0;
}
const char *nvrtcGetErrorString(int code) { return code == 6 ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR"; }

int cuInit(unsigned) { return 0; }
int cuDriverGetVersion(int *version) { return *version = 0; }
int cuDeviceGet(int *device, int number) { return *device = number, 0; }
int cuDeviceGetName(char *name, int, int) { return std::strcpy(name, CODE), 0; }
int cuDeviceGetAttribute(int *value, int attribute, int) {
  *value = attribute == 16 ? 2 : attribute == 75 ? 9 : attribute == 13 ? 1000000 : 0;  // processors, capability, kHz
  return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = (void *)CODE, 0; }
int cuCtxSetCurrent(void *) { return 0; }
int cuModuleLoadData(void **module, const void *code) {
  return std::memcmp(code, CODE, sizeof CODE) ? 200 : (*module = (void *)CODE, 0);
}
int cuModuleGetFunction(void **function, void *, const char *name) {
  for (Function &one : functions)
    if (!std::strcmp(one.name, name)) return *function = &one, 0;
  return 500;
}
int cuFuncGetAttribute(int *value, int, void *) { return *value = 0; }
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *, int, size_t) { return *blocks = 1, 0; }
int cuEventCreate(void **event, unsigned) { return *event = new double(0), 0; }
int cuEventRecord(void *event, void *) { return *(double *)event = clock_ms(), 0; }
int cuEventSynchronize(void *) { return 0; }
int cuEventElapsedTime(float *ms, void *from, void *to) { return *ms = float(*(double *)to - *(double *)from), 0; }
int cuEventDestroy_v2(void *event) { return delete (double *)event, 0; }
int cuGetErrorString(int code, const char **text) {
  return *text = code == 719 ? trouble.c_str() : "an error on purpose", 0;
}
int cuLaunchKernel(void *function, unsigned grid, unsigned, unsigned, unsigned block, unsigned, unsigned, unsigned,
                   void *, void **given, void **) {
  body = ((Function *)function)->body;
  arguments = given;
  blockDim = {block, 1, 1};
  for (unsigned number = 0; number < grid; number++) {
    blockIdx = {number, 0, 0};
    if (!run_block(block)) return 719;
  }
  return 0;
}
}  // extern "C"
