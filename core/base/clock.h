/* The two clocks of the daemon, in microseconds.  Only what binds struct env and what logs reads
 * them; everything that decides gets its time from the caller. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_now_us(void); /* monotonic, counts time in suspend */
int64_t clock_wall_us(void); /* since 1970, UTC; jumps when somebody sets it */

#endif
