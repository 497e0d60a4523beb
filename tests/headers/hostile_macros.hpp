// Words that other people's headers define as macros. Each becomes nonsense here, so that a header of ours which uses it
// does not compile. It comes after all that is not ours, which need not cope.

// <windows.h>, without NOMINMAX
#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))
#define near +
#define far +
#define small +
#define hyper +
#define interface +
#define pascal +
#define cdecl +
#define rad1 +
#define grp1 +
#define IN +
#define OUT +
#define OPTIONAL +
#define ERROR +
#define CONST +
#define VOID +
#define DELETE +
#define STRICT +
#define CALLBACK +

// Xlib
#define Bool +
#define True +
#define False +
#define None +
#define Status +
#define Success +
#define Always +
#define Complex +

// <complex.h> of C, <sys/sysmacros.h>, macOS's <AssertMacros.h>, Qt
#define I +
#undef major
#define major +
#undef minor
#define minor +
#define check +
#define verify +
#define require +
#define signals +
#define slots +
#define emit +
