/* leon.h as C sees it: strict C11, laid out as C++ lays it out (tests/test_c_api_behaviour.cpp compares). */
#include <leon.h>

size_t c_header_size_of_options(void);
size_t c_header_size_of_request(void);
size_t c_header_offset_of_on_text(void);
int c_header_describes(const char* model_path, const leon_picture* picture, char* text, size_t bytes);

size_t c_header_size_of_options(void) {
    return sizeof(leon_options);
}

size_t c_header_size_of_request(void) {
    return sizeof(leon_request);
}

size_t c_header_offset_of_on_text(void) {
    return offsetof(leon_options, on_text);
}

/* What the head of leon.h shows, from C: 0 and the text, or the status. */
int c_header_describes(const char* model_path, const leon_picture* picture, char* text, size_t bytes) {
    leon_model* model;
    leon_error error;
    leon_status status = leon_open(model_path, "cpu", &model, &error);
    if (status != LEON_OK) return (int)status;

    leon_request request = {.task = "describe", .picture = picture};
    leon_options options;
    leon_default_options(&options);
    leon_result* result;
    status = leon_run(model, &request, &options, &result, &error);
    if (status == LEON_OK) {
        const char* said = leon_result_text(result, 0);
        size_t i = 0;
        for (; said[i] && i + 1 < bytes; i++) text[i] = said[i];
        text[i] = 0;
    }
    leon_free_result(result);
    leon_close(model);
    return (int)status;
}
