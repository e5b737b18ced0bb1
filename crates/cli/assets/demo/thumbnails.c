/* The addon of the sample server: it makes thumbnails, and leaks a buffer with each.
 *
 * Built by `twinheap demo` with the compiler at hand. Node's headers may not be, so what is needed of Node-API is
 * declared here, as node_api.h has it. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef void *napi_env, *napi_value, *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);
typedef int napi_status; /* 0 is fine */

extern napi_status napi_get_cb_info(napi_env, napi_callback_info, size_t *, napi_value *, napi_value *, void **);
extern napi_status napi_get_value_uint32(napi_env, napi_value, uint32_t *);
extern napi_status napi_create_uint32(napi_env, uint32_t, napi_value *);
extern napi_status napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);

enum { SIDE = 64, THUMBNAIL_SIDE = 16 };

/* Halves a picture again and again until it is small. The first pixel stands for the result. */
static uint32_t scale_down(uint32_t color) {
  /* The bug: nobody frees the lines. */
  uint8_t *lines = malloc(SIDE * SIDE / 2);
  if (!lines) return 0;
  for (size_t i = 0; i < SIDE * SIDE / 2; i++) lines[i] = (uint8_t)(color + i);
  for (size_t side = SIDE / 2; side > THUMBNAIL_SIDE; side /= 2) {
    for (size_t i = 0; i < side; i++) lines[i] = (uint8_t)((lines[2 * i] + lines[2 * i + 1]) / 2);
  }
  return lines[0];
}

static napi_value make_thumbnail(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument = NULL, result = NULL;
  uint32_t color = 0;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  if (count > 0) napi_get_value_uint32(env, argument, &color);
  napi_create_uint32(env, scale_down(color), &result);
  return result;
}

/* Node looks for this name, and takes what it returns for the module. */
napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value function = exports;
  napi_create_function(env, "makeThumbnail", (size_t)-1, make_thumbnail, NULL, &function);
  return function;
}
