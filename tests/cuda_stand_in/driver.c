/* The driver's own interface, as far as kernels of this project are launched by it, and those: run on the processor, out of the source
   that the device's code is made of. They compute what they would there, in memory of the stand-in's device. */

#include "stand_in.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOT_FOUND = 500, INVALID_IMAGE = 200, INVALID_CONTEXT = 201 };

/* What the source takes for granted. */
typedef struct Index {
    unsigned x, y, z;
} Index;

static _Thread_local Index blockIdx, blockDim, threadIdx;

#define __device__
#define __global__ static

static int min(int a, int b) {
    return a < b ? a : b;
}

static int max(int a, int b) {
    return a > b ? a : b;
}

#include "../../src/infer/resident/blend.cu"

typedef struct Function {
    const char *name;
    void (*run)(Blend);
    uint64_t launches;
} Function;

static Function functions[] = {
    { "facesr_blend_8", facesr_blend_8, 0 },   { "facesr_blend_16", facesr_blend_16, 0 }, { "facesr_differ", facesr_differ, 0 },
    { "facesr_guard_8", facesr_guard_8, 0 }, { "facesr_guard_16", facesr_guard_16, 0 },
};

#define FUNCTIONS (sizeof functions / sizeof *functions)

/* There is one context, and threads have it or none. */
static char only_context;
static _Thread_local void *current;

int cuInit(unsigned flags) {
    (void)flags;
    CALLED(CUDA_NO_DEVICE);
    return CUDA_SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) {
    CALLED(CUDA_INVALID_DEVICE);
    *device = ordinal;
    return ordinal >= 0 && ordinal < stand_in_settings()->devices ? CUDA_SUCCESS : CUDA_INVALID_DEVICE;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)attribute, (void)device;
    *value = 0;
    return CUDA_SUCCESS;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    (void)device;
    CALLED(CUDA_OUT_OF_MEMORY);
    *context = &only_context;
    return CUDA_SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    (void)device;
    return CUDA_SUCCESS;
}

int cuCtxGetCurrent(void **context) {
    *context = current;
    return CUDA_SUCCESS;
}

int cuCtxSetCurrent(void *context) {
    current = context;
    return CUDA_SUCCESS;
}

/* A module is its text. */
int cuModuleLoadData(void **module, const char *text) {
    CALLED(INVALID_IMAGE);
    if (current != &only_context)
        return INVALID_CONTEXT;
    if (!strstr(text, ".version ") || !strstr(text, ".target sm_"))
        return INVALID_IMAGE;
    *module = strdup(text);
    return *module ? CUDA_SUCCESS : CUDA_OUT_OF_MEMORY;
}

int cuModuleUnload(void *module) {
    free(module);
    return CUDA_SUCCESS;
}

/* What is found must be in the text, too, and take a parameter of the size that it has in the source. */
int cuModuleGetFunction(Function **function, const char *module, const char *name) {
    CALLED(NOT_FOUND);
    if (current != &only_context)
        return INVALID_CONTEXT;
    char entry[256];
    snprintf(entry, sizeof entry, ".entry %s(\n\t.param .align 8 .b8 %s_param_0[%zu]\n)", name, name, sizeof(Blend));
    for (size_t at = 0; at < FUNCTIONS; at++)
        if (!strcmp(functions[at].name, name) && strstr(module, entry)) {
            *function = &functions[at];
            return CUDA_SUCCESS;
        }
    return NOT_FOUND;
}

#define BEHIND(field) (blend.field = (void *)stand_in_behind(blend.field))

int cuLaunchKernel(Function *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared, void *stream, void **arguments, void **extra) {
    (void)shared;
    CALLED(CUDA_LAUNCH_FAILED);
    if (current != &only_context)
        return INVALID_CONTEXT;
    if (grid_z != 1 || block_z != 1 || block_x * block_y > 1024 || extra)
        return CUDA_INVALID_VALUE;
    if (!stand_in_is_stream(stream)) {
        stand_in_note("wrong_stream", 0);
        return CUDA_INVALID_HANDLE;
    }
    Blend blend = *(const Blend *)arguments[0];
    BEHIND(levels), BEHIND(past), BEHIND(maps), BEHIND(rows), BEHIND(down), BEHIND(columns), BEHIND(across);
    BEHIND(difference), BEHIND(history), BEHIND(finished);
    blockDim = (Index){ block_x, block_y, 1 };
    bool computes = (double)blend.width * blend.height <= stand_in_settings()->most_pixels;
    for (blockIdx.y = 0; computes && blockIdx.y < grid_y; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < grid_x; blockIdx.x++)
            for (threadIdx.y = 0; threadIdx.y < block_y; threadIdx.y++)
                for (threadIdx.x = 0; threadIdx.x < block_x; threadIdx.x++)
                    function->run(blend);
    if (blend.history)
        blend.history[0] += (float)stand_in_settings()->off_by;
    __atomic_add_fetch(&function->launches, 1, __ATOMIC_RELAXED);
    stand_in_busy(COMPUTE, stream, stand_in_settings()->kernel_us);
    return CUDA_SUCCESS;
}

int cuGetErrorString(int status, const char **text) {
    static const struct {
        int status;
        const char *words;
    } known[] = {
        { CUDA_SUCCESS, "no error" },          { CUDA_INVALID_VALUE, "invalid argument" },
        { CUDA_OUT_OF_MEMORY, "out of memory" }, { CUDA_INVALID_DEVICE, "invalid device ordinal" },
        { INVALID_IMAGE, "device kernel image is invalid" }, { INVALID_CONTEXT, "invalid device context" },
        { NOT_FOUND, "named symbol not found" }, { CUDA_LAUNCH_FAILED, "unspecified launch failure" },
    };
    for (size_t row = 0; row < sizeof known / sizeof *known; row++)
        if (known[row].status == status) {
            *text = known[row].words;
            return CUDA_SUCCESS;
        }
    return CUDA_INVALID_VALUE;
}

__attribute__((destructor)) static void write_launches(void) {
    for (size_t at = 0; at < FUNCTIONS; at++)
        if (functions[at].launches)
            stand_in_total("launches", functions[at].launches, functions[at].name);
}
