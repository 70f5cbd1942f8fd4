#ifndef CZLIB_H
#define CZLIB_H
#include <zlib.h>

/* Prepares a stream that writes gzip (RFC 1952) without a name and a time; deflateInit2 is a macro. Z_OK, or zlib's
   error. */
static inline int caduceus_begin_gzip(z_stream *stream) {
  return deflateInit2(stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
}
#endif
