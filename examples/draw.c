/* Draws a picture with the model in the box, saves it, and asks what is on it: leon from C.
 *
 *   build/examples/draw models/storybook.leon "a car on a sandy beach" car.png
 *
 * With an installed leon:  cc draw.c $(pkg-config --cflags --libs leon) -o draw
 */
#include <leon.h>
#include <stdio.h>

static int show(void* user, int32_t candidate, int32_t done, int32_t total, const leon_picture* preview) {
    (void)user, (void)candidate, (void)preview;
    fprintf(stderr, "\r%d of %d tokens%s", done, total, done == total ? "\n" : "");
    return 0; /* anything else would cancel */
}

/* Draws, saves, looks at what was drawn. */
static leon_status draw(leon_model* model, const char* text, const char* path, leon_error* error) {
    leon_options options;
    leon_default_options(&options);
    options.seed = 1;
    options.on_picture = show;

    leon_result* drawn;
    leon_request request = {.task = "draw", .text = text};
    leon_status status = leon_run(model, &request, &options, &drawn, error);
    if (status != LEON_OK) return status;
    leon_picture picture;
    leon_result_picture(drawn, 0, &picture);
    status = leon_save_picture(path, &picture, error);

    if (status == LEON_OK) {
        leon_result* answer;
        leon_request question = {.task = "ask", .picture = &picture, .text = "Where is it?"};
        status = leon_run(model, &question, NULL, &answer, error);
        if (status == LEON_OK)
            printf("Where is it? %s (log-probability %.2f)\n", leon_result_text(answer, 0),
                   leon_result_score(answer, 0));
        leon_free_result(answer);
    }
    leon_free_result(drawn); /* and the picture with it */
    return status;
}

int main(int argc, char** argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL TEXT OUTPUT.png\n", argv[0]);
        return 2;
    }
    leon_model* model;
    leon_error error;
    leon_status status = leon_open(argv[1], "cpu", &model, &error);
    if (status == LEON_OK) status = draw(model, argv[2], argv[3], &error);
    if (status != LEON_OK) fprintf(stderr, "%s\n", error.message);
    leon_close(model);
    return status == LEON_OK ? 0 : 2;
}
