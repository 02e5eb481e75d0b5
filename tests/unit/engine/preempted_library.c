/* For test_preempted: variables that the test's program has copies of, PREFIX_used and so on. */
#define NAME3(prefix, name) prefix##_##name
#define NAME2(prefix, name) NAME3(prefix, name)
#define NAME(name) NAME2(PREFIX, name)

long *NAME(use)(void), *NAME(use_alone)(void);

long NAME(used)[2] = { 1 };
long NAME(quiet) = 2;
long NAME(in_data) = 3;
long *NAME(data) = &NAME(in_data);
long NAME(alone) = 4;

long *NAME(use)(void)
{
    return NAME(used);
}

long *NAME(use_alone)(void)
{
    return &NAME(alone);
}
