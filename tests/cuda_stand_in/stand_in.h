/* What the parts of the stand-in share: settings, the log, failures on demand, memory and clocks. libcudart.so.13 holds
   them, and the stand-ins for cuDNN and cuBLAS link to it. */

#ifndef STAND_IN_H
#define STAND_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Statuses of the CUDA runtime that are given here. */
enum {
    CUDA_SUCCESS = 0,
    CUDA_INVALID_VALUE = 1,
    CUDA_OUT_OF_MEMORY = 2,
    CUDA_DRIVER_TOO_OLD = 35,
    CUDA_NO_DEVICE = 100,
    CUDA_INVALID_DEVICE = 101,
    CUDA_INVALID_HANDLE = 400,
    CUDA_LAUNCH_FAILED = 719,
    CUDA_NOT_SUPPORTED = 801,
};

/* What FACESR_STAND_IN_* says; README.md has the list. */
typedef struct Settings {
    uint64_t memory;             /* bytes of the device */
    int devices;                 /* how many there are */
    int driver;                  /* the newest CUDA that the driver knows: 13000 is 13.0 */
    double convolution_us;       /* simulated time of a convolution */
    double kernel_us;            /* of any other kernel */
    double gigabytes_per_second; /* of copies between host and device; 0: they take no time */
    double most_pixels;          /* of pictures that our kernels compute; they leave larger ones as they are */
    bool tensor_cores;           /* whether cuDNN's only engine is one for tensor cores */
    double off_by;               /* what our kernels get wrong: added to the first number of a history */
    const char *log;             /* a file that lines are added to, or NULL */
    const char *fail;            /* which calls are to fail, or NULL */
} Settings;

const Settings *stand_in_settings(void);

/* A function of NVIDIA's as far as it was called: a static variable of the function itself. */
typedef struct Call {
    const char *name;
    uint64_t count; /* guarded by the lock of trace.c */
    struct Call *next;
} Call;

/* Counts a call, and says the status with which it is to fail: 0 where it is not, else `failure` unless
   FACESR_STAND_IN_FAIL names another. */
int stand_in_called(Call *call, int failure);

/* The first line of a function of NVIDIA's: returns where a failure was asked for. */
#define CALLED(failure)                                       \
    do {                                                      \
        static Call called = { __func__, 0, NULL };           \
        int status_ = stand_in_called(&called, (failure));    \
        if (status_)                                          \
            return status_;                                   \
    } while (0)

/* The same for functions of the CUDA runtime, which keeps the last failure and needs a device. */
#define CUDA_CALLED(failure)                                  \
    do {                                                      \
        static Call called = { __func__, 0, NULL };           \
        int status_ = stand_in_cuda_called(&called, (failure)); \
        if (status_)                                          \
            return status_;                                   \
    } while (0)

int stand_in_cuda_called(Call *call, int failure);

/* Keeps a failure for cudaGetLastError and hands it on. */
int stand_in_failed(int status);

/* A line of the log: `MICROSECONDS WHAT NUMBER`. */
void stand_in_note(const char *what, uint64_t number);

/* A line that is written when the process ends: `MICROSECONDS WHAT NUMBER NAME`. */
void stand_in_total(const char *what, uint64_t number, const char *name);

/* Whether an address is the device's. */
bool stand_in_is_device(const void *address);

/* Where the contents of an address lie: of the device's somewhere else, of the host's there. */
uint8_t *stand_in_behind(const void *address);

/* Whether an address is in memory of the host that cannot be paged out. */
bool stand_in_is_pinned(const void *address);

/* The engines of a device, which work beside each other. */
typedef enum { COMPUTE, COPY_TO_HOST, COPY_TO_DEVICE, ENGINES } Engine;

/* Whether it is a stream that was made here, and not the default one, which no other waits for. */
bool stand_in_is_stream(const void *stream);

/* Keeps an engine busy for so long, once it and the stream (NULL: the default one) are done with what they have. */
void stand_in_busy(Engine engine, void *stream, double microseconds);

/* Waits for a stream; microseconds that were left to wait. */
uint64_t stand_in_wait(void *stream);

/* Nanoseconds of the clock that everything here goes by. */
int64_t stand_in_now(void);

#endif
