/* Streams, events and simulated time. Work is done when it is asked for; what a device would still be at is kept as the
   time at which it would be done, and whoever waits sleeps until then. */

#include "stand_in.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* What a stream or event stands for: when all that it was given is done, in nanoseconds. */
typedef struct Clock {
    int64_t due;
    bool is_stream;
} Clock;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Clock default_stream;
/* When the last work of an engine begins and is done. */
static struct {
    int64_t from, until;
} engines[ENGINES];

int64_t stand_in_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int64_t later(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static Clock *clock_of(void *stream) {
    return stream ? stream : &default_stream;
}

bool stand_in_is_stream(const void *stream) {
    return stream && ((const Clock *)stream)->is_stream;
}

void stand_in_busy(Engine engine, void *stream, double microseconds) {
    if (microseconds <= 0)
        return;
    Clock *clock = clock_of(stream);
    pthread_mutex_lock(&lock);
    int64_t length = (int64_t)(microseconds * 1e3), start = later(stand_in_now(), clock->due);
    /* What is ready goes before what an engine was given and waits for its stream. */
    if (start + length > engines[engine].from) {
        start = later(start, engines[engine].until);
        engines[engine].from = start;
        engines[engine].until = start + length;
    }
    clock->due = start + length;
    pthread_mutex_unlock(&lock);
}

static uint64_t wait_until(int64_t due) {
    int64_t left = due - stand_in_now();
    if (left <= 0)
        return 0;
    struct timespec time = { due / 1000000000, due % 1000000000 };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL))
        continue;
    return (uint64_t)left / 1000;
}

static int64_t due_of(const Clock *clock) {
    pthread_mutex_lock(&lock);
    int64_t due = clock->due;
    pthread_mutex_unlock(&lock);
    return due;
}

uint64_t stand_in_wait(void *stream) {
    return wait_until(due_of(clock_of(stream)));
}

int cudaStreamCreateWithFlags(void **stream, unsigned flags) {
    CUDA_CALLED(CUDA_OUT_OF_MEMORY);
    Clock *made = calloc(1, sizeof *made);
    if (made)
        made->is_stream = true;
    *stream = made;
    stand_in_note("stream", flags);
    return *stream ? CUDA_SUCCESS : stand_in_failed(CUDA_OUT_OF_MEMORY);
}

int cudaStreamCreate(void **stream) {
    return cudaStreamCreateWithFlags(stream, 0);
}

int cudaStreamDestroy(void *stream) {
    free(stream);
    return CUDA_SUCCESS;
}

int cudaStreamSynchronize(void *stream) {
    CUDA_CALLED(CUDA_LAUNCH_FAILED);
    stand_in_note("wait", stand_in_wait(stream));
    return CUDA_SUCCESS;
}

int cudaDeviceSynchronize(void) {
    CUDA_CALLED(CUDA_LAUNCH_FAILED);
    pthread_mutex_lock(&lock);
    int64_t due = 0;
    for (int engine = 0; engine < ENGINES; engine++)
        due = later(due, engines[engine].until);
    pthread_mutex_unlock(&lock);
    stand_in_note("device_wait", wait_until(due));
    return CUDA_SUCCESS;
}

int cudaStreamWaitEvent(void *stream, void *event, unsigned flags) {
    (void)flags;
    CUDA_CALLED(CUDA_INVALID_HANDLE);
    Clock *clock = clock_of(stream);
    pthread_mutex_lock(&lock);
    clock->due = later(clock->due, ((Clock *)event)->due);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

int cudaEventCreateWithFlags(void **event, unsigned flags) {
    (void)flags;
    CUDA_CALLED(CUDA_OUT_OF_MEMORY);
    *event = calloc(1, sizeof(Clock));
    return *event ? CUDA_SUCCESS : stand_in_failed(CUDA_OUT_OF_MEMORY);
}

int cudaEventCreate(void **event) {
    return cudaEventCreateWithFlags(event, 0);
}

int cudaEventDestroy(void *event) {
    free(event);
    return CUDA_SUCCESS;
}

int cudaEventRecordWithFlags(void *event, void *stream, unsigned flags) {
    (void)flags;
    CUDA_CALLED(CUDA_INVALID_HANDLE);
    ((Clock *)event)->due = due_of(clock_of(stream));
    return CUDA_SUCCESS;
}

int cudaEventRecord(void *event, void *stream) {
    return cudaEventRecordWithFlags(event, stream, 0);
}

int cudaEventSynchronize(void *event) {
    CUDA_CALLED(CUDA_LAUNCH_FAILED);
    stand_in_note("wait", wait_until(due_of(event)));
    return CUDA_SUCCESS;
}

int cudaEventElapsedTime(float *milliseconds, void *from, void *to) {
    CUDA_CALLED(CUDA_INVALID_HANDLE);
    *milliseconds = (float)(((Clock *)to)->due - ((Clock *)from)->due) * 1e-6f;
    return CUDA_SUCCESS;
}

int cudaLaunchHostFunc(void *stream, void (*function)(void *), void *data) {
    CUDA_CALLED(CUDA_LAUNCH_FAILED);
    stand_in_wait(stream);
    function(data);
    return CUDA_SUCCESS;
}

/* Nothing is recorded into graphs; that there is none is what callers ask first. */
int cudaStreamIsCapturing(void *stream, int *is_capturing) {
    (void)stream;
    *is_capturing = 0;
    return CUDA_SUCCESS;
}
