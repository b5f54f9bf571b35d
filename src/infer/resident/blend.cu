/* The blend of graphs.rs as kernels of CUDA: what its hundred and fifty operators write to memory and read again stays
 * in registers here, which is a fiftieth of the traffic. Operation by operation the same arithmetic, so that it gives
 * the same bits where products are not fused with sums.
 *
 * blend.ptx is made of it by `make kernels`. In C, so that the tests can run it on a processor.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* Positions are counted in a border of so many pixels, which decides how a fraction is rounded. */
#define BORDER 4.0f
#define COLOURS 3

/* Maps at the size of the small picture, in their order. */
enum { ACROSS, DOWN, SHARE, SPEED };

/* What a kernel is given; foreign/kernels.rs has the same. Pictures are planes of red, green and blue, one after the
 * other, in units of samples. */
typedef struct Blend {
    const float *levels;     /* what the network made */
    const float *past;       /* the last history */
    const float *maps;       /* motion into the past, share of the past, and speed */
    const int *rows;         /* for each row that of the maps before it, then for each the one behind it */
    const float *down;       /* what of the one behind counts */
    const int *columns;      /* the same for columns */
    const float *across;
    float *difference;       /* what the past is more than the levels; of kernels with a guard */
    float *history;          /* what is shown, before it is rounded */
    void *finished;          /* samples, red, green and blue of each pixel together */
    int width, height;
    int small_height;
    int stride;              /* floats of a row of the maps, of which the last may be no column */
    float scale_across;      /* pixels of the large picture in one of the small */
    float scale_down;
    float moving_from;       /* speed at which the guard comes in, and over how much it does */
    float moving_range;
    float kept_least;        /* what it leaves of differences where the picture moves, and what is added where not */
    float kept_more;
} Blend;

/* Four pixels along an axis and what each counts. */
typedef struct Taps {
    int at[4];
    float weights[4];
} Taps;

__device__ static float limited(float value, float least, float most) {
    return fminf(fmaxf(value, least), most);
}

/* Where the past of a pixel is: positions are limited to a pixel outside of the picture, NaN is before it. */
__device__ static Taps located(int start, float motion, float scale, int count) {
    float position = (float)start + scale * motion;
    float inside = fminf(position > -1.0f ? position : -1.0f, (float)count) + BORDER;
    float whole = floorf(inside);
    float t = inside - whole;
    Taps taps;
    for (int tap = 0; tap < 4; tap++)
        taps.at[tap] = (int)limited(whole + ((float)tap - 1.0f - BORDER), 0.0f, (float)(count - 1));
    /* The cubic of Catmull and Rom. */
    float rest = 1.0f - t, far = 1.5f * t, outer = -0.5f * t * rest;
    taps.weights[0] = outer * rest;
    taps.weights[1] = 1.0f + t * t * (far - 2.5f);
    taps.weights[2] = t * (0.5f + t * (2.0f - far));
    taps.weights[3] = outer * t;
    return taps;
}

/* A map at a pixel, linear between its neighbours: first along columns, then along rows. */
__device__ static float enlarged(const Blend *b, int map, int x, int y) {
    const float *plane = b->maps + (size_t)map * b->small_height * b->stride;
    const float *first = plane + (size_t)b->rows[y] * b->stride;
    const float *second = plane + (size_t)b->rows[b->height + y] * b->stride;
    int before = b->columns[x], behind = b->columns[b->width + x];
    float left = first[before] + b->down[y] * (second[before] - first[before]);
    float right = first[behind] + b->down[y] * (second[behind] - first[behind]);
    return left + b->across[x] * (right - left);
}

/* What the past has at a pixel. */
__device__ static void moved_past(const Blend *b, int x, int y, float colours[COLOURS]) {
    Taps across = located(x, enlarged(b, ACROSS, x, y), b->scale_across, b->width);
    Taps down = located(y, enlarged(b, DOWN, x, y), b->scale_down, b->height);
    for (int colour = 0; colour < COLOURS; colour++) {
        const float *plane = b->past + (size_t)colour * b->width * b->height;
        float columns[4];
        for (int column = 0; column < 4; column++) {
            const float *taps = plane + across.at[column];
            float sum = taps[(size_t)down.at[0] * b->width] * down.weights[0];
            for (int row = 1; row < 4; row++)
                sum += taps[(size_t)down.at[row] * b->width] * down.weights[row];
            columns[column] = sum * across.weights[column];
        }
        colours[colour] = (columns[0] + columns[2]) + (columns[1] + columns[3]);
    }
}

/* The history at a pixel of a colour, and its sample. */
__device__ static void keep(const Blend *b, int colour, int x, int y, float level, int bits) {
    size_t pixel = (size_t)y * b->width + x;
    b->history[(size_t)colour * b->width * b->height + pixel] = level;
    float sample = rintf(limited(level, 0.0f, bits == 8 ? 255.0f : 65535.0f));
    if (bits == 8)
        ((unsigned char *)b->finished)[pixel * COLOURS + colour] = (unsigned char)sample;
    else
        ((unsigned short *)b->finished)[pixel * COLOURS + colour] = (unsigned short)sample;
}

/* The plain blend. */
__device__ static void blend(const Blend *b, int x, int y, int bits) {
    float moved[COLOURS], share = enlarged(b, SHARE, x, y);
    moved_past(b, x, y, moved);
    for (int colour = 0; colour < COLOURS; colour++) {
        float level = b->levels[((size_t)colour * b->height + y) * b->width + x];
        keep(b, colour, x, y, level + share * (moved[colour] - level), bits);
    }
}

/* What the past is more than the levels. */
__device__ static void differ(const Blend *b, int x, int y) {
    float moved[COLOURS];
    moved_past(b, x, y, moved);
    for (int colour = 0; colour < COLOURS; colour++) {
        size_t at = ((size_t)colour * b->height + y) * b->width + x;
        b->difference[at] = moved[colour] - b->levels[at];
    }
}

/* A difference and its neighbours in a row, weighted 1, 2, 1; the outermost are repeated. */
__device__ static float smooth_row(const float *row, int x, int width) {
    return row[max(x - 1, 0)] + 2.0f * row[x] + row[min(x + 1, width - 1)];
}

/* The blend that holds back fine differences where the picture moves. */
__device__ static void guard(const Blend *b, int x, int y, int bits) {
    float t = limited((enlarged(b, SPEED, x, y) - b->moving_from) / b->moving_range, 0.0f, 1.0f);
    float still = 1.0f - t * t * (3.0f - 2.0f * t);
    float held_back = 1.0f - (b->kept_least + b->kept_more * still);
    float share = enlarged(b, SHARE, x, y);
    size_t above = (size_t)max(y - 1, 0) * b->width, here = (size_t)y * b->width;
    size_t below = (size_t)min(y + 1, b->height - 1) * b->width;
    for (int colour = 0; colour < COLOURS; colour++) {
        size_t plane = (size_t)colour * b->width * b->height;
        const float *difference = b->difference + plane;
        float coarse = 0.0625f * smooth_row(difference + above, x, b->width);
        coarse += 0.125f * smooth_row(difference + here, x, b->width);
        coarse += 0.0625f * smooth_row(difference + below, x, b->width);
        float kept = difference[here + x] - held_back * coarse;
        keep(b, colour, x, y, b->levels[plane + here + x] + share * kept, bits);
    }
}

/* One thread a pixel; the last blocks reach out of the picture. */
#define KERNEL(NAME, RUN)                                     \
    __global__ void NAME(const Blend b) {                     \
        int x = (int)(blockIdx.x * blockDim.x + threadIdx.x); \
        int y = (int)(blockIdx.y * blockDim.y + threadIdx.y); \
        if (x < b.width && y < b.height)                      \
            RUN;                                              \
    }

KERNEL(facesr_blend_8, blend(&b, x, y, 8))
KERNEL(facesr_blend_16, blend(&b, x, y, 16))
KERNEL(facesr_differ, differ(&b, x, y))
KERNEL(facesr_guard_8, guard(&b, x, y, 8))
KERNEL(facesr_guard_16, guard(&b, x, y, 16))

#ifdef __cplusplus
}
#endif
