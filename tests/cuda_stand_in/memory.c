/* Memory of the device, and pinned memory of the host. What the host is given of the device are addresses that nobody can
   read or write: whoever takes them for the host's crashes there. Copies go to and from a second mapping, `contents`. */

#include "stand_in.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What CUDA aligns to. */
#define GRAIN 512u

/* Pages of the host, as pinned memory is made of. */
#define PAGE 4096u

/* A part of the device's memory, in use or free; neighbours in the list are neighbours in memory. */
typedef struct Block {
    uint64_t at, size;
    bool is_used;
    struct Block *next;
} Block;

/* Memory of the host that is pinned. */
typedef struct Pinned {
    uint8_t *at;
    size_t size;
    struct Pinned *next;
} Pinned;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t *device, *contents;
static Block *blocks;
static Pinned *pinned;
static uint64_t held, most_held;

static void reserve(void) {
    size_t size = stand_in_settings()->memory;
    int memory = memfd_create("stand-in for a device", 0);
    if (memory >= 0 && !ftruncate(memory, (off_t)size)) {
        contents = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory, 0);
        device = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    blocks = calloc(1, sizeof *blocks);
    if (!device || device == MAP_FAILED || contents == MAP_FAILED || !blocks) {
        fputs("stand-in for CUDA: the device's addresses cannot be reserved\n", stderr);
        abort();
    }
    blocks->size = size;
}

static void start(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, reserve);
}

bool stand_in_is_device(const void *address) {
    start();
    const uint8_t *at = address;
    return at >= device && at < device + stand_in_settings()->memory;
}

uint8_t *stand_in_behind(const void *address) {
    return stand_in_is_device(address) ? contents + ((const uint8_t *)address - device) : (uint8_t *)address;
}

/* Cuts what is not wanted off a free block. */
static bool cut(Block *block, uint64_t size) {
    if (block->size == size)
        return true;
    Block *rest = calloc(1, sizeof *rest);
    if (!rest)
        return false;
    *rest = (Block){ block->at + size, block->size - size, false, block->next };
    block->size = size;
    block->next = rest;
    return true;
}

static Block *take(uint64_t size) {
    for (Block *block = blocks; block; block = block->next) {
        if (block->is_used || block->size < size || !cut(block, size))
            continue;
        block->is_used = true;
        held += size;
        most_held = held > most_held ? held : most_held;
        return block;
    }
    return NULL;
}

static void join_free_neighbours(void) {
    for (Block *block = blocks; block; block = block->next)
        while (!block->is_used && block->next && !block->next->is_used) {
            Block *next = block->next;
            block->size += next->size;
            block->next = next->next;
            free(next);
        }
}

static int allocate(void **address, size_t size) {
    start();
    pthread_mutex_lock(&lock);
    Block *block = take((size + GRAIN - 1) / GRAIN * GRAIN + (size ? 0 : GRAIN));
    pthread_mutex_unlock(&lock);
    stand_in_note(block ? "malloc" : "no_room", block ? block->size : size);
    if (!block)
        return stand_in_failed(CUDA_OUT_OF_MEMORY);
    *address = device + block->at;
    return CUDA_SUCCESS;
}

static int release(const void *address) {
    if (!address)
        return CUDA_SUCCESS;
    uint64_t size = 0;
    pthread_mutex_lock(&lock);
    for (Block *block = blocks; block && !size; block = block->next) {
        if (!block->is_used || device + block->at != address)
            continue;
        size = block->size;
        block->is_used = false;
        held -= size;
        /* Gives the pages back, so that the process is no larger than what the device holds. */
        madvise(contents + block->at, size, MADV_REMOVE);
    }
    join_free_neighbours();
    pthread_mutex_unlock(&lock);
    stand_in_note(size ? "free" : "wrong_free", size);
    return size ? CUDA_SUCCESS : stand_in_failed(CUDA_INVALID_VALUE);
}

int cudaMalloc(void **address, size_t size) {
    CUDA_CALLED(CUDA_OUT_OF_MEMORY);
    return allocate(address, size);
}

int cudaMallocFromPoolAsync(void **address, size_t size, void *pool, void *stream) {
    (void)pool, (void)stream;
    CUDA_CALLED(CUDA_OUT_OF_MEMORY);
    return allocate(address, size);
}

int cudaFree(void *address) {
    CUDA_CALLED(CUDA_INVALID_VALUE);
    return release(address);
}

int cudaFreeAsync(void *address, void *stream) {
    (void)stream;
    CUDA_CALLED(CUDA_INVALID_VALUE);
    return release(address);
}

int cudaMemGetInfo(size_t *free_bytes, size_t *total) {
    CUDA_CALLED(CUDA_INVALID_VALUE);
    *total = stand_in_settings()->memory;
    *free_bytes = *total - held;
    return CUDA_SUCCESS;
}

int cudaHostAlloc(void **address, size_t size, unsigned flags) {
    (void)flags;
    CUDA_CALLED(CUDA_OUT_OF_MEMORY);
    Pinned *one = calloc(1, sizeof *one);
    if (!one || posix_memalign(address, PAGE, size ? size : 1)) {
        free(one);
        return stand_in_failed(CUDA_OUT_OF_MEMORY);
    }
    pthread_mutex_lock(&lock);
    *one = (Pinned){ *address, size, pinned };
    pinned = one;
    pthread_mutex_unlock(&lock);
    stand_in_note("pin", size);
    return CUDA_SUCCESS;
}

int cudaMallocHost(void **address, size_t size) {
    return cudaHostAlloc(address, size, 0);
}

int cudaFreeHost(void *address) {
    Pinned *found = NULL;
    pthread_mutex_lock(&lock);
    for (Pinned **at = &pinned; *at && !found; at = found ? at : &(*at)->next)
        if ((*at)->at == address) {
            found = *at;
            *at = found->next;
        }
    pthread_mutex_unlock(&lock);
    if (!found)
        return address ? stand_in_failed(CUDA_INVALID_VALUE) : CUDA_SUCCESS;
    stand_in_note("unpin", found->size);
    free(found->at);
    free(found);
    return CUDA_SUCCESS;
}

bool stand_in_is_pinned(const void *address) {
    bool found = false;
    pthread_mutex_lock(&lock);
    for (const Pinned *at = pinned; at && !found; at = at->next)
        found = (const uint8_t *)address >= at->at && (const uint8_t *)address < at->at + at->size;
    pthread_mutex_unlock(&lock);
    return found;
}

int cudaPointerGetAttributes(void *attributes, const void *address) {
    CUDA_CALLED(CUDA_INVALID_VALUE);
    enum { UNREGISTERED, HOST, DEVICE };
    struct {
        int type, device;
        const void *on_device, *on_host;
    } found = { UNREGISTERED, 0, NULL, address };
    if (stand_in_is_device(address)) {
        found.type = DEVICE;
        found.on_device = address;
        found.on_host = NULL;
    } else if (stand_in_is_pinned(address)) {
        found.type = HOST;
        found.on_device = address;
    }
    memcpy(attributes, &found, sizeof found);
    return CUDA_SUCCESS;
}

__attribute__((destructor)) static void write_most_held(void) {
    if (most_held)
        stand_in_note("most_held", most_held);
}
