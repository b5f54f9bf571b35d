/* Kernels: which there are, and how often each was launched. None of them does anything. */

#include "stand_in.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct Size3 {
    unsigned x, y, z;
} Size3;

/* A kernel by the address of the host's function that stands for it. */
typedef struct Kernel {
    const void *function;
    const char *name;
    uint64_t launches;
} Kernel;

/* Places for kernels, a power of two that leaves most free: the provider has more than 12,000. */
#define PLACES (1u << 17)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Kernel kernels[PLACES];

/* The place of a kernel, or a free one for it. */
static Kernel *place_of(const void *function) {
    /* Functions are aligned to 16 bytes; the factor spreads them. */
    size_t at = ((uintptr_t)function >> 4) * 2654435761u;
    for (size_t tries = 0; tries < PLACES; tries++) {
        Kernel *kernel = &kernels[(at + tries) % PLACES];
        if (!kernel->function || kernel->function == function)
            return kernel;
    }
    abort();
}

/* The provider's code registers itself when it is loaded, in files (`fat binaries`) of kernels and variables. */
void **__cudaRegisterFatBinary(void *binary) {
    (void)binary;
    return calloc(1, sizeof(void *));
}

void __cudaRegisterFatBinaryEnd(void **handle) {
    (void)handle;
}

void __cudaUnregisterFatBinary(void **handle) {
    free(handle);
}

void __cudaRegisterVar(void **handle, char *on_host, char *on_device, const char *name, int is_external, size_t size,
                       int is_constant, int is_global) {
    (void)handle, (void)on_host, (void)on_device, (void)name, (void)is_external, (void)size, (void)is_constant, (void)is_global;
}

void __cudaRegisterFunction(void **handle, const char *function, char *on_device, const char *name, int thread_limit,
                            void *thread, void *block, void *block_size, void *grid_size, int *warp) {
    (void)handle, (void)on_device, (void)thread_limit, (void)thread, (void)block, (void)block_size, (void)grid_size, (void)warp;
    pthread_mutex_lock(&lock);
    Kernel *kernel = place_of(function);
    kernel->function = function;
    kernel->name = name;
    pthread_mutex_unlock(&lock);
}

/* `kernel<<<grid, block, shared, stream>>>(...)` pushes what is between the brackets and calls the host's function, which
   takes it back and launches. */
static _Thread_local struct {
    Size3 grid, block;
    size_t shared;
    void *stream;
} pushed;

unsigned __cudaPushCallConfiguration(Size3 grid, Size3 block, size_t shared, void *stream) {
    pushed.grid = grid;
    pushed.block = block;
    pushed.shared = shared;
    pushed.stream = stream;
    return CUDA_SUCCESS;
}

int __cudaPopCallConfiguration(Size3 *grid, Size3 *block, size_t *shared, void **stream) {
    *grid = pushed.grid;
    *block = pushed.block;
    *shared = pushed.shared;
    *stream = pushed.stream;
    return CUDA_SUCCESS;
}

/* What a launch takes as the kernel is the function itself. */
int __cudaGetKernel(const void **kernel, const void *function) {
    *kernel = function;
    return CUDA_SUCCESS;
}

static int launch(const void *function, void *stream) {
    pthread_mutex_lock(&lock);
    Kernel *kernel = place_of(function);
    if (kernel->function)
        kernel->launches++;
    pthread_mutex_unlock(&lock);
    if (!kernel->function) {
        stand_in_note("unknown_kernel", 0);
        return stand_in_failed(CUDA_INVALID_HANDLE);
    }
    stand_in_busy(COMPUTE, stream, stand_in_settings()->kernel_us);
    return CUDA_SUCCESS;
}

int cudaLaunchKernel(const void *function, Size3 grid, Size3 block, void **arguments, size_t shared, void *stream) {
    (void)grid, (void)block, (void)arguments, (void)shared;
    CUDA_CALLED(CUDA_LAUNCH_FAILED);
    return launch(function, stream);
}

int __cudaLaunchKernel(const void *function, Size3 grid, Size3 block, void **arguments, size_t shared, void *stream) {
    return cudaLaunchKernel(function, grid, block, arguments, shared, stream);
}

int cudaLaunchCooperativeKernel(const void *function, Size3 grid, Size3 block, void **arguments, size_t shared, void *stream) {
    return cudaLaunchKernel(function, grid, block, arguments, shared, stream);
}

/* `how` begins with the grid, the block, the shared memory and the stream. */
int cudaLaunchKernelExC(const void *how, const void *function, void **arguments) {
    const struct {
        Size3 grid, block;
        size_t shared;
        void *stream;
    } *known = how;
    (void)arguments;
    CUDA_CALLED(CUDA_LAUNCH_FAILED);
    return launch(function, known->stream);
}

/* What is read of a kernel's attributes, whose first fields these are: callers ask which code of theirs would run. */
int cudaFuncGetAttributes(void *attributes, const void *function) {
    const struct {
        size_t shared, constant, local;
        int threads, registers, ptx_version, code_version;
    } first = { 0, 0, 0, 1024, 32, 90, 90 };
    (void)function;
    CUDA_CALLED(CUDA_INVALID_HANDLE);
    memcpy(attributes, &first, sizeof first);
    return CUDA_SUCCESS;
}

/* Two blocks for each multiprocessor: callers size their grids by it. */
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *function, int block, size_t shared,
                                                           unsigned flags) {
    (void)function, (void)block, (void)shared, (void)flags;
    *blocks = 2;
    return CUDA_SUCCESS;
}

int cudaFuncSetAttribute(const void *function, int attribute, int value) {
    (void)function, (void)attribute, (void)value;
    return CUDA_SUCCESS;
}

__attribute__((destructor)) static void write_launches(void) {
    for (const Kernel *kernel = kernels; kernel < kernels + PLACES; kernel++)
        if (kernel->launches)
            stand_in_total("launches", kernel->launches, kernel->name);
}
