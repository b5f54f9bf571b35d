/* Copies between host and device, and within each. */

#include "stand_in.h"

#include <stdio.h>
#include <string.h>

/* Which way a copy goes, as callers say it; the last is found out by the addresses. */
enum { HOST_TO_HOST, HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE, BY_ADDRESS };

/* Copies, and names it in the log: h2d, d2h, d2d or h2h, and `_paged` behind it where memory of the host is not
   pinned, which a driver copies in pieces while the caller waits. Whoever names another way than the addresses do is
   refused, as no driver would see the difference in time. */
static int copy(void *to, const void *from, size_t size, int way, void *stream, bool waits) {
    bool to_device = stand_in_is_device(to), from_device = stand_in_is_device(from);
    int found = from_device ? (to_device ? DEVICE_TO_DEVICE : DEVICE_TO_HOST) : to_device ? HOST_TO_DEVICE : HOST_TO_HOST;
    static const char *const names[] = { "h2h", "h2d", "d2h", "d2d" };
    if (way != BY_ADDRESS && way != found) {
        stand_in_note("wrong_copy", size);
        return stand_in_failed(CUDA_INVALID_VALUE);
    }
    bool is_paged = to_device != from_device && !stand_in_is_pinned(to_device ? from : to);
    char name[16];
    snprintf(name, sizeof name, "%s%s", names[found], is_paged ? "_paged" : "");
    stand_in_note(name, size);
    double bytes_per_us = stand_in_settings()->gigabytes_per_second * 1e3;
    if (to_device != from_device && bytes_per_us > 0)
        stand_in_busy(to_device ? COPY_TO_DEVICE : COPY_TO_HOST, stream, (double)size / bytes_per_us);
    if (waits || is_paged)
        stand_in_note("wait", stand_in_wait(stream));
    memmove(stand_in_behind(to), stand_in_behind(from), size);
    return CUDA_SUCCESS;
}

int cudaMemcpy(void *to, const void *from, size_t size, int way) {
    CUDA_CALLED(CUDA_INVALID_VALUE);
    return copy(to, from, size, way, NULL, true);
}

int cudaMemcpyAsync(void *to, const void *from, size_t size, int way, void *stream) {
    CUDA_CALLED(CUDA_INVALID_VALUE);
    return copy(to, from, size, way, stream, false);
}

int cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height, int way,
                      void *stream) {
    CUDA_CALLED(CUDA_INVALID_VALUE);
    int status = CUDA_SUCCESS;
    for (size_t y = 0; y < height && !status; y++)
        status = copy((uint8_t *)to + y * to_pitch, (const uint8_t *)from + y * from_pitch, width, way, stream, false);
    return status;
}

/* Variables of the device are not kept: they read as zeros. */
int cudaMemcpyFromSymbol(void *to, const void *symbol, size_t size, size_t offset, int way) {
    (void)symbol, (void)offset, (void)way;
    CUDA_CALLED(CUDA_INVALID_VALUE);
    memset(to, 0, size);
    return CUDA_SUCCESS;
}

int cudaMemset(void *address, int value, size_t size) {
    CUDA_CALLED(CUDA_INVALID_VALUE);
    memset(stand_in_behind(address), value, size);
    return CUDA_SUCCESS;
}

int cudaMemsetAsync(void *address, int value, size_t size, void *stream) {
    (void)stream;
    return cudaMemset(address, value, size);
}
