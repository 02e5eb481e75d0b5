#include "answer.h"

const char *answer(void)
{
    return "hello from version one";
}
