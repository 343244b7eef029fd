//! Thousands of seeded schedules: whatever goes wrong in whatever order, what is finished is right, every deadline
//! advances, and the same seed gives the same transcript.
