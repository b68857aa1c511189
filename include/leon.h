/* leon.h: leon as a library, from C and from whatever can call C.
 *
 *   leon_model *model;
 *   leon_error error;
 *   if (leon_open("storybook.leon", "cpu", &model, &error)) { puts(error.message); return 1; }
 *
 *   leon_request request = {.task = "draw", .text = "a car on a sandy beach"};
 *   leon_options options;
 *   leon_default_options(&options);
 *   leon_result *result;
 *   if (leon_run(model, &request, &options, &result, &error)) { puts(error.message); return 1; }
 *
 *   leon_picture picture;
 *   leon_result_picture(result, 0, &picture);     // RGB bytes, valid until leon_free_result
 *   leon_free_result(result);
 *   leon_close(model);
 *
 * Errors are values: every function that can fail returns a leon_status and fills a leon_error of the caller's, if one
 * is given: one line that says what, where and how to fix it. (Where it names an option of the commands, such as --box,
 * the member of that name is meant.) Nothing is printed, and nothing ends the program but a bug.
 *
 * Threads: any function may be called from any thread. Runs take turns, whatever their models: each uses all processors
 * (leon_set_threads). A result belongs to its caller, and may be read by several threads. A model must not be closed
 * while something runs on it, or waits for its turn.
 * Callbacks run inside leon_run, on its thread. They may cancel and save pictures; leon_open, leon_run and
 * leon_set_threads fail there.
 *
 * Strings are UTF-8 and end with a zero; text of a request can never become a control token. Pictures are 8-bit RGB,
 * row by row from the top, without gaps. An empty string means the same as null.
 *
 * Versions: structures belong to one version of the library. leon_options begins with its size, so a program that was
 * compiled against another version is refused rather than misread.
 */
#ifndef LEON_H
#define LEON_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define LEON_API __attribute__((visibility("default")))
#else
#define LEON_API
#endif

#define LEON_VERSION "0.1.0" /* of this header; leon_version() is the library's */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct leon_model leon_model;   /* an opened model: a mapped file */
typedef struct leon_result leon_result; /* what a run has made */

typedef enum leon_status {
    LEON_OK = 0,
    LEON_BAD = 1,       /* bad input or environment: see the leon_error */
    LEON_CANCELLED = 2, /* by a callback or by leon_cancel; there is no result */
} leon_status;

typedef struct leon_error {
    char message[512]; /* one line; empty after LEON_OK */
} leon_error;

typedef struct leon_picture {
    int32_t width, height;
    const uint8_t* rgb; /* [height, width, 3] */
} leon_picture;

/* What to do. Members that a task does not read must be null.
 *
 *   task            reads                                    makes
 *   "draw"          text; or picture as a map, with kind     pictures
 *                   and text; or text with objects; or sign;
 *                   size
 *   "edit"          picture, text: the instruction           pictures
 *   "fill"          picture, text, and one of box, mask,     pictures
 *                   grow
 *   "estimate"      picture, kind: "depth", "normals",       pictures
 *                   "pose" (Lumina-mGPT)
 *   "segment"       picture, text: an object, or null        one picture
 *   "describe"      picture                                  texts
 *   "describe-long" picture                                  texts
 *   "ask"           picture, text: the question              texts
 *   "fill-text"     text with ___, picture or null           texts
 *   "write"         text, picture or null                    texts and pictures, in order
 */
typedef struct leon_request {
    const char* task;
    const char* text;
    const leon_picture* picture;
    const leon_picture* mask; /* of the picture's size; white is filled */
    const char* box;          /* "x0,y0,x1,y1" in pixels of the picture */
    const char* grow;         /* "left,top,right,bottom" pixels */
    const char* kind;         /* "segmentation", "edges", "depth", "pose", "scribble", "hed", "normals" */
    const char* objects;      /* "dog@10,20,60,80;cat@70,20,90,60" in pixels of the new picture */
    const char* sign;         /* a word that stands in the picture */
    const char* size;         /* "768x512" pixels, for models that draw more than one (Lumina-mGPT) */
} leon_request;

/* How to do it. leon_default_options() fills it; NaN and -1 stand for the model's own default. What does not concern a
 * task is not looked at, so that one structure serves several. */
typedef struct leon_options {
    size_t size; /* of this structure; see "Versions" */
    uint64_t seed;
    int32_t candidates;        /* 1 to 64, with rising seeds; descriptions and answers come likeliest first */
    int32_t best_of;           /* of so many pictures (1 to 64) one is kept: the likeliest to be described so */
    float guidance;            /* of the text; 1 is none */
    float image_guidance;      /* of the picture, for "edit" */
    float temperature;         /* 0 is greedy */
    float top_p;               /* 1 is off */
    int32_t top_k;             /* 0 is off */
    const char* strategy;      /* "top-p", "cdk", "mixture"; null is "top-p" */
    int32_t contrast_k;        /* of "cdk" */
    float alpha;               /* of "cdk" */
    float student_temperature; /* of "cdk" */
    int32_t max_tokens;        /* of a text, or of all that "write" adds */
    int32_t max_pictures;      /* of "write": one, or none if the model does not draw */
    int32_t unclosed;          /* 1: without the </s> in front of what belongs into holes */

    /* Of what makes pictures, but for "segment" and "write". */
    int32_t rank;         /* 1: best first, by log p(text, map | picture); needs one of them ... */
    const char* scorer;   /* ... or, if this is not null, by an embedder: the file of a CLIP, or "native" */
    int32_t upscale;      /* 2, 3 or 4 times as large; 1 is off */
    const char* upscaler; /* the file of a network that does it; null is Lanczos */

    /* Of "draw", "edit", "fill", "describe", "describe-long" and "ask". */
    const char* bank;       /* the file of a memory bank, whose documents help; null is none */
    int32_t documents;      /* how many of them, 0 to 2 */
    const char* embedder;   /* of the bank, if it is a file */
    int32_t keep_documents; /* 1: guidance compares with the documents alone; 0: with nothing */

    /* Called while something grows; may be null. Anything but 0 cancels. */
    void* user;
    /* The codes so far of a candidate's picture: `done` of `total`, 1 to `total`. `preview` has 2 x 2 pixels a code, or
     * is 0 x 0 if the codes do not form a picture by themselves ("fill"); it is valid during the call. */
    int (*on_picture)(void* user, int32_t candidate, int32_t done, int32_t total, const leon_picture* preview);
    /* A piece of the first candidate's text: `bytes` of it, no zero behind them; may end inside a character. */
    int (*on_text)(void* user, const char* piece, size_t bytes);
} leon_options;

LEON_API const char* leon_version(void);

/* Maps a model file. `backend`: "cpu", "cuda", "reference"; null is "cpu". *model is null unless LEON_OK. */
LEON_API leon_status leon_open(const char* path, const char* backend, leon_model** model, leon_error* error);
LEON_API void leon_close(leon_model* model); /* null is fine; waits for a run that is under way */
LEON_API const char* leon_model_name(const leon_model* model);
LEON_API int32_t leon_picture_side(const leon_model* model); /* of what it draws, in pixels; 0 if it draws nothing */

/* Processors that runs may use; 0: all. Waits for a run that is under way. */
LEON_API leon_status leon_set_threads(int32_t threads, leon_error* error);

LEON_API void leon_default_options(leon_options* options);

/* Runs a task; `options` may be null for the defaults. *result is null unless LEON_OK, and the caller's to free. */
LEON_API leon_status leon_run(leon_model* model, const leon_request* request, const leon_options* options,
                              leon_result** result, leon_error* error);
/* Ends every run on this model whose leon_run has been called and has not returned: one under way when a callback
 * would be called next, one that waits as soon as it has its turn. From any thread or a callback. */
LEON_API void leon_cancel(leon_model* model);

/* Items of a result: candidates, or the texts and pictures of "write". */
LEON_API int32_t leon_result_count(const leon_result* result);
/* Null if the item is a picture. Valid until leon_free_result, as are pictures. */
LEON_API const char* leon_result_text(const leon_result* result, int32_t item);
/* 1 and the picture, or 0 if the item is a text. */
LEON_API int32_t leon_result_picture(const leon_result* result, int32_t item, leon_picture* picture);
/* The natural logarithm of the text's probability, or the picture's mark if it was ranked; NaN if there is none. */
LEON_API double leon_result_score(const leon_result* result, int32_t item);
LEON_API uint64_t leon_result_seed(const leon_result* result, int32_t item);
LEON_API void leon_free_result(leon_result* result); /* null is fine */

/* Picture files, as the commands read and write them (PNG, JPEG, BMP, GIF; by the ending when saving). The picture of
 * leon_load_picture belongs to the result: leon_result_picture(result, 0, ...). */
LEON_API leon_status leon_load_picture(const char* path, leon_result** result, leon_error* error);
LEON_API leon_status leon_save_picture(const char* path, const leon_picture* picture, leon_error* error);

#ifdef __cplusplus
}
#endif

#endif
