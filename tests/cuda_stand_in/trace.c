/* What is called and what happens: the log, counts of calls, and failures on demand. */

#include "stand_in.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Call *calls;
static _Thread_local int last_failure;

static FILE *file;
static int64_t started;

static void open_log(void) {
    const char *path = stand_in_settings()->log;
    started = stand_in_now();
    file = path ? fopen(path, "a") : NULL;
    /* Whole lines, so that a process that is killed leaves no half of one. */
    if (file)
        setvbuf(file, NULL, _IOLBF, BUFSIZ);
    else if (path)
        fprintf(stderr, "stand-in for CUDA: cannot write to %s\n", path);
}

static void write_line(const char *what, uint64_t number, const char *name) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_log);
    if (file)
        fprintf(file, "%" PRId64 " %s %" PRIu64 "%s%s\n", (stand_in_now() - started) / 1000, what, number,
                *name ? " " : "", name);
}

void stand_in_note(const char *what, uint64_t number) {
    write_line(what, number, "");
}

void stand_in_total(const char *what, uint64_t number, const char *name) {
    write_line(what, number, name);
}

/* FACESR_STAND_IN_FAIL is `NAME:FIRST[:STATUS]`, several with spaces between: from its call FIRST on, counted from 1,
   the function NAME fails. */
static int asked_to_fail(const Call *call, int failure) {
    size_t length = strlen(call->name);
    const char *at = stand_in_settings()->fail;
    while (at) {
        at += strspn(at, " ");
        if (!strncmp(at, call->name, length) && at[length] == ':') {
            char *end;
            uint64_t first = strtoull(at + length + 1, &end, 10);
            if (call->count >= first)
                return *end == ':' ? atoi(end + 1) : failure;
        }
        at = strchr(at, ' ');
    }
    return 0;
}

int stand_in_called(Call *call, int failure) {
    pthread_mutex_lock(&lock);
    if (call->count++ == 0) {
        call->next = calls;
        calls = call;
    }
    int status = asked_to_fail(call, failure);
    pthread_mutex_unlock(&lock);
    if (status)
        write_line("failed", (uint64_t)status, call->name);
    return status;
}

int stand_in_cuda_called(Call *call, int failure) {
    int status = stand_in_called(call, failure);
    if (!status && stand_in_settings()->driver < 13000)
        status = CUDA_DRIVER_TOO_OLD;
    else if (!status && stand_in_settings()->devices < 1)
        status = CUDA_NO_DEVICE;
    return stand_in_failed(status);
}

int stand_in_failed(int status) {
    if (status)
        last_failure = status;
    return status;
}

int cudaPeekAtLastError(void) {
    return last_failure;
}

int cudaGetLastError(void) {
    int status = last_failure;
    last_failure = CUDA_SUCCESS;
    return status;
}

__attribute__((destructor)) static void write_calls(void) {
    for (const Call *call = calls; call; call = call->next)
        write_line("calls", call->count, call->name);
}
