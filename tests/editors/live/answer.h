#ifndef ANSWER_H
#define ANSWER_H

/* What every request is answered with. */
const char *answer(void);

#endif
