//! One node and two at one bus: epochs, beats, byes and what is said when, in virtual time.
