/* Other ways to write. */
#include <stdio.h>

int
gnu_style (int count)
{
  int sum = 0;
  for (;;) /* here */
    {
      if (count-- == 0)
        return sum;

      sum += count;
    }
}

/* With tabs,
 * and a comment of its own. */
int tabs(int count)
{
	int sum = 0;

	for (;;) {	/* here */
		/* first */
		if (count-- == 0) {
			break;
		}
#ifdef NEVER
		sum = 0;
#else
		sum += count;
#endif

		// last
	}
	return sum;
}

int dense(int count) { int sum = 0; for (;;) { if (count-- == 0) break; sum += count; } return sum; } /* here */

int allman(int count, int one_long_name, int another_long_name, int a_third_long_name, int the_fourth_long_name)
{
    int sum = 0;

    if (count)
    {
        while (1) /* here */
        {
            sum += one_long_name++ + another_long_name++ + a_third_long_name++ + the_fourth_long_name++;
            if (count-- == 0)
            {
                return sum;
            }
        }
    }
    return sum;
}

int main(void)
{
    printf("%d %d %d %d\n", gnu_style(4), tabs(5), dense(6), allman(3, 1, 2, 3, 4));
    return 0;
}
