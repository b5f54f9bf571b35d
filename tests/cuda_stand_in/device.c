/* What is told about the device, the runtime and errors. The figures are those of a GPU of compute capability 9.0, for
   which the provider holds code. */

#include "stand_in.h"

#include <stdio.h>
#include <string.h>

#define NAME "stand-in, computes nothing"

enum {
    RUNTIME_VERSION = 13000,
    CAPABILITY_MAJOR = 9,
    CAPABILITY_MINOR = 0,
    MULTIPROCESSORS = 132,
    WARP = 32,
    THREADS_OF_BLOCK = 1024,
    THREADS_OF_BLOCK_Z = 64,
    THREADS_OF_MULTIPROCESSOR = 2048,
    GRID_X = 2147483647,
    GRID_YZ = 65535,
    REGISTERS = 65536,
    SHARED_OF_BLOCK = 48 << 10,
    SHARED_OF_BLOCK_AT_MOST = 227 << 10,
    SHARED_OF_MULTIPROCESSOR = 228 << 10,
    CONSTANT_MEMORY = 64 << 10,
    LEVEL_2_CACHE = 50 << 20,
    BUS_BITS = 5120,
    COPY_ENGINES = 3,
};

/* Where CUDA 13 has the fields of cudaDeviceProp, in bytes, and how large it is. */
enum {
    AT_NAME = 0,
    AT_MEMORY = 288,
    AT_SHARED_OF_BLOCK = 296,
    AT_REGISTERS_OF_BLOCK = 304,
    AT_WARP = 308,
    AT_THREADS_OF_BLOCK = 320,
    AT_BLOCK = 324,
    AT_GRID = 336,
    AT_CONSTANT_MEMORY = 352,
    AT_MAJOR = 360,
    AT_MINOR = 364,
    AT_MULTIPROCESSORS = 384,
    AT_MAPS_HOST_MEMORY = 392,
    AT_CONCURRENT_KERNELS = 560,
    AT_COPY_ENGINES = 584,
    AT_UNIFIED_ADDRESSES = 588,
    AT_BUS_BITS = 592,
    AT_LEVEL_2_CACHE = 596,
    AT_THREADS_OF_MULTIPROCESSOR = 604,
    AT_SHARED_OF_MULTIPROCESSOR = 624,
    AT_REGISTERS_OF_MULTIPROCESSOR = 632,
    AT_SHARED_OF_BLOCK_AT_MOST = 672,
    PROPERTIES_SIZE = 1008,
};

static void put(uint8_t *properties, size_t at, int value) {
    memcpy(properties + at, &value, sizeof value);
}

static void put_size(uint8_t *properties, size_t at, size_t value) {
    memcpy(properties + at, &value, sizeof value);
}

int cudaGetDeviceProperties(void *to, int device) {
    CUDA_CALLED(CUDA_INVALID_DEVICE);
    if (device < 0 || device >= stand_in_settings()->devices)
        return stand_in_failed(CUDA_INVALID_DEVICE);
    uint8_t *properties = to;
    memset(properties, 0, PROPERTIES_SIZE);
    memcpy(properties + AT_NAME, NAME, sizeof NAME);
    put_size(properties, AT_MEMORY, stand_in_settings()->memory);
    put_size(properties, AT_SHARED_OF_BLOCK, SHARED_OF_BLOCK);
    put(properties, AT_REGISTERS_OF_BLOCK, REGISTERS);
    put(properties, AT_WARP, WARP);
    put(properties, AT_THREADS_OF_BLOCK, THREADS_OF_BLOCK);
    const int block[] = { THREADS_OF_BLOCK, THREADS_OF_BLOCK, THREADS_OF_BLOCK_Z };
    const int grid[] = { GRID_X, GRID_YZ, GRID_YZ };
    memcpy(properties + AT_BLOCK, block, sizeof block);
    memcpy(properties + AT_GRID, grid, sizeof grid);
    put_size(properties, AT_CONSTANT_MEMORY, CONSTANT_MEMORY);
    put(properties, AT_MAJOR, CAPABILITY_MAJOR);
    put(properties, AT_MINOR, CAPABILITY_MINOR);
    put(properties, AT_MULTIPROCESSORS, MULTIPROCESSORS);
    put(properties, AT_MAPS_HOST_MEMORY, 1);
    put(properties, AT_CONCURRENT_KERNELS, 1);
    put(properties, AT_COPY_ENGINES, COPY_ENGINES);
    put(properties, AT_UNIFIED_ADDRESSES, 1);
    put(properties, AT_BUS_BITS, BUS_BITS);
    put(properties, AT_LEVEL_2_CACHE, LEVEL_2_CACHE);
    put(properties, AT_THREADS_OF_MULTIPROCESSOR, THREADS_OF_MULTIPROCESSOR);
    put_size(properties, AT_SHARED_OF_MULTIPROCESSOR, SHARED_OF_MULTIPROCESSOR);
    put(properties, AT_REGISTERS_OF_MULTIPROCESSOR, REGISTERS);
    put_size(properties, AT_SHARED_OF_BLOCK_AT_MOST, SHARED_OF_BLOCK_AT_MOST);
    return CUDA_SUCCESS;
}

/* The numbers by which CUDA's attributes are asked for; what is not here is answered with 0. */
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
    static const struct {
        int attribute, value;
    } known[] = {
        { 1, THREADS_OF_BLOCK },        /* threads of a block */
        { 2, THREADS_OF_BLOCK },        /* its width */
        { 3, THREADS_OF_BLOCK },        /* its height */
        { 4, THREADS_OF_BLOCK_Z },      /* its depth */
        { 5, GRID_X },                  /* the grid's width */
        { 6, GRID_YZ },                 /* its height */
        { 7, GRID_YZ },                 /* its depth */
        { 8, SHARED_OF_BLOCK },         /* shared memory of a block */
        { 9, CONSTANT_MEMORY },
        { 10, WARP },
        { 12, REGISTERS },              /* of a block */
        { 16, MULTIPROCESSORS },
        { 38, LEVEL_2_CACHE },
        { 39, THREADS_OF_MULTIPROCESSOR },
        { 40, COPY_ENGINES },
        { 75, CAPABILITY_MAJOR },
        { 76, CAPABILITY_MINOR },
        { 81, SHARED_OF_MULTIPROCESSOR },
        { 82, REGISTERS },              /* of a multiprocessor */
        { 97, SHARED_OF_BLOCK_AT_MOST },
    };
    CUDA_CALLED(CUDA_INVALID_DEVICE);
    if (device < 0 || device >= stand_in_settings()->devices)
        return stand_in_failed(CUDA_INVALID_DEVICE);
    *value = 0;
    for (size_t row = 0; row < sizeof known / sizeof *known; row++)
        if (known[row].attribute == attribute)
            *value = known[row].value;
    return CUDA_SUCCESS;
}

int cudaGetDeviceCount(int *count) {
    *count = 0;
    CUDA_CALLED(CUDA_NO_DEVICE);
    *count = stand_in_settings()->devices;
    return CUDA_SUCCESS;
}

/* Threads do not get devices of their own: what is counted here goes to one. */
int cudaGetDevice(int *device) {
    CUDA_CALLED(CUDA_NO_DEVICE);
    *device = 0;
    return CUDA_SUCCESS;
}

int cudaSetDevice(int device) {
    CUDA_CALLED(CUDA_INVALID_DEVICE);
    return device >= 0 && device < stand_in_settings()->devices ? CUDA_SUCCESS : stand_in_failed(CUDA_INVALID_DEVICE);
}

int cudaDriverGetVersion(int *version) {
    *version = stand_in_settings()->driver;
    return CUDA_SUCCESS;
}

int cudaRuntimeGetVersion(int *version) {
    *version = RUNTIME_VERSION;
    return CUDA_SUCCESS;
}

/* Callers look for these words, so they are CUDA's own. */
static const struct {
    int status;
    const char *name, *words;
} errors[] = {
    { CUDA_SUCCESS, "cudaSuccess", "no error" },
    { CUDA_INVALID_VALUE, "cudaErrorInvalidValue", "invalid argument" },
    { CUDA_OUT_OF_MEMORY, "cudaErrorMemoryAllocation", "out of memory" },
    { CUDA_DRIVER_TOO_OLD, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version" },
    { CUDA_NO_DEVICE, "cudaErrorNoDevice", "no CUDA-capable device is detected" },
    { CUDA_INVALID_DEVICE, "cudaErrorInvalidDevice", "invalid device ordinal" },
    { CUDA_INVALID_HANDLE, "cudaErrorInvalidResourceHandle", "invalid resource handle" },
    { CUDA_LAUNCH_FAILED, "cudaErrorLaunchFailure", "unspecified launch failure" },
    { CUDA_NOT_SUPPORTED, "cudaErrorNotSupported", "operation not supported" },
};

const char *cudaGetErrorName(int status) {
    for (size_t row = 0; row < sizeof errors / sizeof *errors; row++)
        if (errors[row].status == status)
            return errors[row].name;
    return "cudaErrorUnknown";
}

const char *cudaGetErrorString(int status) {
    for (size_t row = 0; row < sizeof errors / sizeof *errors; row++)
        if (errors[row].status == status)
            return errors[row].words;
    return "unknown error";
}
