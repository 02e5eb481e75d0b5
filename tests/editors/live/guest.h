#ifndef GUEST_H
#define GUEST_H

/* Who has asked: one is made for each request that is served, and stays. */
struct guest {
    struct guest *next;
    int number;
    char name[12];
};

void guest_add(int number);

#endif
