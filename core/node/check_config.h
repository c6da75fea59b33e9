/* What dkvd --check-config looks at besides the text of the configuration: whether what it names is
 * there.  Changes nothing, opens no data. */
#ifndef NODE_CHECK_CONFIG_H
#define NODE_CHECK_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include "conf/settings.h"

/* One line for each problem.  False if a start would fail; a name that does not resolve yet is only
 * told, for it may be there by then. */
bool check_config_places(const struct settings *settings, FILE *to);

#endif
